"""`revoice serve`: models that speak to whoever asks over HTTP."""

import argparse
import ipaddress
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn

from revoice.speaking.engine import Engine
from revoice.speaking.guard import Door, Limits
from revoice.speaking.options import add_synthesis, given_synthesis
from revoice.speaking.server import app
from revoice.speaking.talker import Talker

TOKEN = "REVOICE_TOKEN"  # of the environment
GRACE = 10  # seconds that who is being served has when the server is told to end
CONNECTIONS = 512  # at a time, beside those of the queue
BAD = 2  # exit code, as of argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the server may be told."""
    parser.add_argument("--model", required=True, type=Path, action="append",
                        help="folder, e.g. results/my_voice; may be given again")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--data", type=Path, default="data", help="where a decoder's weights are")
    parser.add_argument("--verbose", action="store_true", help="a line for each request")
    where = parser.add_argument_group("where it listens, and to whom")
    where.add_argument("--host", default="127.0.0.1", help="address; another needs a token")
    where.add_argument("--port", type=int, default=8000, help="0: any that is free")
    where.add_argument("--host-name", action="append", default=[], metavar="NAME",
                       help="a name by which it may be called too")  # fmt: skip
    where.add_argument("--token", help=f"that clients need; others see it here, not in {TOKEN}")
    where.add_argument("--token-file", type=Path, help="a file with the token alone")
    limits = parser.add_argument_group("how much")
    limits.add_argument("--longest", type=int, default=Limits.longest, help="characters of a text")
    limits.add_argument("--queue", type=int, default=Limits.queue, help="requests at a time")
    limits.add_argument("--timeout", type=float, default=Limits.seconds, help="seconds for each")
    limits.add_argument("--slots", type=int, default=16, help="utterances spoken at a time")
    add_synthesis(parser.add_argument_group("how it speaks, where not as its model says"))


def run(options: argparse.Namespace) -> None:
    """Serve until it is told to end.

    Exits with 2, and says why, where it would be open to others without a token, or cannot listen.
    Raises FileNotFoundError and ValueError for models that are not there, or do not fit.
    """
    try:
        limits = Limits(options.longest, options.queue, options.timeout)
        door, listening = _door(options), _bound(options.host, options.port)
    except (OSError, ValueError) as error:
        print(f"revoice: {error}", file=sys.stderr)
        sys.exit(BAD)
    with listening:
        given = given_synthesis(options)
        talkers = [
            Talker.load(folder, options.device, given, options.data) for folder in options.model
        ]
        made = app([Engine(talker, options.slots) for talker in talkers], door, limits)
        config = uvicorn.Config(
            made,
            log_config=None,
            access_log=False,
            ws="none",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limits.queue + CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
        )
        listening.listen()
        names = ", ".join(talker.name for talker in talkers)
        print(f"{names}: {_address(options.host, listening)} (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):  # it has ended as it should
            uvicorn.Server(config).run([listening])


def _door(options: argparse.Namespace) -> Door:
    """Who may come in; ValueError where the options leave that open."""
    token = _token(options)
    loopback = _is_loopback(options.host)
    if not loopback and token is None:
        raise ValueError(
            f"--host {options.host} lets other machines ask: give a token too, with {TOKEN} in the "
            "environment, --token-file or --token"
        )
    address = _address_of(options.host)
    names = {name.lower().strip("[]") for name in (*options.host_name, options.host)}
    return Door(Door.names | names, bool(address and address.is_unspecified), token)


def _token(options: argparse.Namespace) -> str | None:
    """The token that is given, in one of three ways; ValueError for one that no header can have."""
    given = [options.token, os.environ.get(TOKEN)]
    if options.token_file:
        given.append(options.token_file.read_text("utf-8").strip())
    tokens = [each for each in given if each is not None]
    if not tokens:
        return None
    if len(tokens) > 1:
        raise ValueError(f"the token is given more than once: --token, --token-file or {TOKEN}")
    if not tokens[0] or not all("!" <= sign <= "~" for sign in tokens[0]):
        raise ValueError("the token has to be letters, figures and signs of ASCII, without spaces")
    return tokens[0]


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    """Whether this machine alone is reached by it; a name but localhost may mean anything."""
    address = _address_of(host)
    return address.is_loopback if address else host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    """A socket of this address, which does not listen yet; OSError, ValueError if there is none."""
    name = "127.0.0.1" if host == "localhost" else host.strip("[]")
    made = None
    if not 0 <= port < 2**16:
        raise ValueError(f"there is no port {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        return made
    except OSError as error:
        if made:
            made.close()
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}") from None


def _address(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    name = host.strip("[]")
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
