"""Who may ask the server, how much, and for how long."""

import asyncio
import hmac
import ipaddress
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from revoice.speaking.asking import Refused

log = logging.getLogger(__name__)

OPEN = {"/", "/health"}  # without a token
READING = {"GET", "HEAD", "OPTIONS"}
ARRIVING = 30.0  # seconds that a request may take to arrive
SIGN = 12  # bytes that a character may take in JSON: "\ud83d\ude00"
ELSE = 16_384  # bytes of a request but its text
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Limits:
    """How much is served.

    `longest`: characters of a text. `queue`: requests for speech at a time, those that wait with
    them. `seconds`: that a request may take.
    """

    longest: int = 4096
    queue: int = 64
    seconds: float = 600.0

    def __post_init__(self) -> None:
        if min(self.longest, self.queue) < 1 or not self.seconds > 0:
            raise ValueError("length, queue and time limit must be above 0")


@dataclass(frozen=True)
class Door:
    """By which names the server may be called, and with what token.

    `names`: of hosts, in lower case, IPv6 without brackets. `addresses`: any IP address will do
    too: a page of another site, which a name server leads here, always has a name.
    """

    names: frozenset[str] = frozenset(["localhost", "127.0.0.1", "::1"])
    addresses: bool = False
    token: str | None = None

    def check(self, scope: Scope) -> None:
        """Raise Refused for who is not to be answered."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        if scope["method"] not in READING:
            _check_origin(headers)
        if self.token is not None and scope["path"] not in OPEN:
            scheme, _, given = next(iter(_of(scope, b"authorization")), b"").partition(b" ")
            right = hmac.compare_digest(given.strip(), self.token.encode())
            if scheme.lower() != b"bearer" or not right:
                told = {"WWW-Authenticate": "Bearer"}
                message = "Give the server's token: Authorization: Bearer TOKEN"
                raise Refused(401, message, code="invalid_api_key", headers=told)

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name = _name(hosts[0]) if len(hosts) == 1 else None
        if name in self.names or (self.addresses and name and _is_address(name)):
            return
        known = ", ".join(sorted(self.names))
        message = f"This server goes by {known}: start it with --host-name for another name"
        raise Refused(421, message, code="unknown_host")


class Gate:
    """Lets in who may ask, and gives the work up when nobody waits for it any more.

    The body is read first, so that whatever comes after it says that the client is gone. What is
    given up is cancelled: before a response has begun it is 504, then the connection is cut.
    """

    def __init__(self, app: ASGIApp, door: Door, limits: Limits) -> None:
        self.app, self.door, self.limits = app, door, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self.door.check(scope)
            body = await self._body(scope, receive)
            if body is not None:
                await self._answer(scope, body, receive, told)
        except Refused as refused:
            if begun:
                log.warning("%s: %s", scope["path"], refused)  # who returns now is cut off
            else:
                await refused.response(scope, receive, told)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """All that the client sends; None where it is gone before."""
        most = SIGN * self.limits.longest + ELSE
        refused = Refused(413, f"A request has at most {most} bytes", code="too_large")
        length = next(iter(_of(scope, b"content-length")), b"0")
        if length.isdigit() and int(length[:20]) > most:
            raise refused
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(ARRIVING):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise refused
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refused(408, f"The request took more than {ARRIVING:g} s to arrive") from None
        return bytes(body)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Let the application answer, until it has, the client is gone, or its time is over."""
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def once() -> Message:
            return given.pop() if given else await asyncio.Future()

        answer = asyncio.ensure_future(self.app(scope, once, send))
        gone = asyncio.create_task(_until_gone(receive))
        refused = Refused(504, f"This took more than {self.limits.seconds:g} s", code="timeout")
        try:
            await asyncio.wait(
                {answer, gone}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:  # the server ends before the answer is whole
            refused = Refused(503, "The server ends", code="closing")
        over = answer.done()
        answer.cancel()
        left = gone.done()
        gone.cancel()
        error, _ = await asyncio.gather(answer, gone, return_exceptions=True)
        if over and isinstance(error, BaseException):
            raise error
        if not over and not left:
            raise refused


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _of(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _name(host: str) -> str | None:
    """The name in a Host header, without its port; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers) -> None:
    """Raise Refused for what a page of another site makes a browser ask."""
    host, origin = headers.get("host", "").lower(), headers.get("origin")
    of_others = origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}
    if of_others or headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        raise Refused(403, "Pages of other sites may not ask this server", code="cross_site")
