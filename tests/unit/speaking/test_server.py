"""The server in this process: what it answers, what it refuses, and what it gives up."""

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi import FastAPI
from starlette.testclient import TestClient

from revoice.model.generate import Request
from revoice.speaking.asking import KINDS
from revoice.speaking.engine import Engine
from revoice.speaking.guard import ELSE, SIGN, Door, Limits
from revoice.speaking.server import app
from revoice.speaking.talker import Talker

SPEECH = "/v1/audio/speech"
SHORT = "Good morning to you."
LONG = " ".join(
    f"This is sentence number {n}, and it is not a short one at all." for n in range(30)
)
LOCAL, LIMITS = Door(), Limits(longest=3000, queue=2)


class Counting(Engine):
    """An engine that counts what it is asked for."""

    asked = 0

    def submit(self, request: Request) -> Any:
        self.asked += 1
        return super().submit(request)


def made(talker: Talker, door: Door = LOCAL, limits: Limits = LIMITS) -> tuple[FastAPI, Counting]:
    engine = Counting(talker)
    return app([engine], door, limits), engine


@pytest.fixture(scope="module")
def client(talker: Talker) -> Iterator[TestClient]:
    """Of a server on localhost that needs no token."""
    server, _ = made(talker)
    with TestClient(server, "http://localhost:8000", raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, **asked: Any) -> Any:
    return client.post(SPEECH, json={"input": SHORT, "response_format": "wav", **asked})


def samples(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="int16")[0]


def problem(response: Any, status: int) -> dict[str, Any]:
    """The error in OpenAI's form."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]


def test_a_text_is_spoken(client: TestClient) -> None:
    response = ask(client, model="base", voice="heart", seed=1)
    assert response.headers["content-type"] == "audio/wav"
    assert response.headers["x-revoice-pieces"] == "1"
    assert response.headers["x-revoice-seed"] == "1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in response.headers
    found = samples(response.content)
    assert 0.5 < len(found) / 24000 < 3
    assert response.headers["x-revoice-seconds"] == f"{len(found) / 24000:.3f}"
    assert np.abs(found).max() > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_formats_say_that_they_are_synthetic(client: TestClient, kind: str) -> None:
    response = ask(client, response_format=kind, voice="heart", seed=1)
    assert response.headers["content-type"] == KINDS[kind]
    if kind == "pcm":
        wav = samples(ask(client, voice="heart", seed=1).content)
        assert np.array_equal(np.frombuffer(response.content, "<i2"), wav)
    else:
        assert b"Synthetic speech, made with revoice" in response.content


def test_a_seed_is_a_speech(client: TestClient) -> None:
    first, again, other = (ask(client, seed=seed).content for seed in (1, 1, 2))
    assert first == again != other
    new = {ask(client).headers["x-revoice-seed"] for _ in range(2)}
    assert len(new) == 2
    assert ask(client, seed=int(new.pop())).status_code == 200


def test_voices_and_speed(client: TestClient) -> None:
    usual = ask(client, seed=1).content
    for same in ({"voice": "heart"}, {"voice": {"id": "heart"}}, {"voice": "default"}):
        assert ask(client, seed=1, **same).content == usual
    assert ask(client, seed=1, voice="heart_1.2").content != usual
    fast, slow = (len(samples(ask(client, seed=1, speed=speed).content)) for speed in (1.5, 0.75))
    assert slow > 1.3 * fast


def test_what_is_streamed_is_what_is_sent_whole(client: TestClient) -> None:
    text = f"{SHORT}\n\nIt is late: good night!\n\nThe end."
    whole = ask(client, input=text, seed=1, stream=False)
    assert whole.headers["x-revoice-pieces"] == "3"
    assert "content-length" in whole.headers
    streamed = ask(client, input=text, seed=1)
    assert "content-length" not in streamed.headers
    assert np.array_equal(samples(streamed.content), samples(whole.content))
    events = ask(client, input=text, seed=1, stream_format="sse", response_format="pcm")
    assert events.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in events.text.split("\n\n") if line]
    assert [each["type"] for each in told[-2:]] == ["speech.audio.delta", "speech.audio.done"]
    pcm = b"".join(base64.b64decode(each["audio"]) for each in told[:-1])
    assert np.array_equal(np.frombuffer(pcm, "<i2"), samples(whole.content))
    used = told[-1]["usage"]
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"] > 100


def test_lists(client: TestClient, talker: Talker) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("base", "model")
    voices = client.get("/v1/voices").json()["data"]
    assert [each["id"] for each in voices] == [voice.name for voice in talker.voices]
    assert [each["default"] for each in voices] == [True, False, False]
    assert voices[0]["text"].startswith("Missus Price")
    health = client.get("/health").json()
    assert (health["status"], health["models"]) == ("ok", ["base"])
    assert (health["requests"], health["pieces"]) == (0, 0)


@pytest.mark.parametrize(
    ("asked", "param", "says"),
    [
        ({"voice": "alloy"}, "voice", "its voices: heart, heart_0.84, heart_1.2"),
        ({"voice": "resources/base/voices/heart.npz"}, "voice", "has no voice"),
        ({"voice": "../voices/heart"}, "voice", "has no voice"),
        ({"voice": {"id": "/etc/passwd.npz"}}, "voice", "has no voice"),
        ({"voice": {"id": "heart", "path": "x"}}, "voice", None),
        ({"input": ""}, "input", "at least 1 character"),
        ({"input": "a" * 3001}, "input", "of at most 3000"),
        ({"input": " \n\t"}, "input", "nothing to say"),
        ({"input": "\0\u200b"}, "input", "nothing to say"),
        ({"input": "Всё хорошо."}, "input", None),
        ({"input": 5}, "input", "string"),
        ({"response_format": "exe"}, "response_format", "'mp3'"),
        ({"speed": 9}, "speed", "less than or equal to 4"),
        ({"speed": "1.5"}, "speed", "number"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"seed": True}, "seed", "integer"),
        ({"language": "xx"}, "language", "but en"),
        ({"speeed": 2}, "speeed", "not permitted"),
        ({"model": 1}, "model", "string"),
    ],
)
def test_bad_requests(client: TestClient, asked: dict[str, Any], param: str, says: str) -> None:
    found = problem(ask(client, **asked), 400)
    assert found["param"].startswith(param)
    assert says is None or says in found["message"], found
    assert found["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"input": "a", "speed": NaN}',
        b'{"input": "a", "speed": 1e999}',
        b'{"input": "a", "seed": ' + b"9" * 5000 + b"}",
        b'{"input": "\\ud800 hello"}',
        b'{"input": "hello", "\\ud800": 1}',
        b'{"input": "hello", "voice": "\\udfff"}',
        b'{"input": "\xff\xfe"}',
        "{'input': 'ü'}".encode("utf-16"),
        b'{"input": ' + b"[" * 10_000,
        b'{"input": "a", "a": ' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    ],
)
def test_malformed_bodies(client: TestClient, body: bytes) -> None:
    problem(client.post(SPEECH, content=body, headers={"content-type": "application/json"}), 400)


def test_other_refusals(client: TestClient) -> None:
    assert "base" in problem(ask(client, model="tts-1"), 404)["message"]
    problem(client.get("/v1/nothing"), 404)
    problem(client.get("/docs"), 404)
    problem(client.get(SPEECH), 405)
    told = problem(client.post(SPEECH, content='{"input":"a"}'), 400)
    assert "application/json" in told["message"]
    problem(client.post(SPEECH, data={"input": "a"}), 400)


def test_bodies_that_are_too_large(client: TestClient) -> None:
    most = SIGN * LIMITS.longest + ELSE
    problem(client.post(SPEECH, content=b"x" * (most + 1)), 413)
    problem(client.post(SPEECH, content=iter([b"x" * 1000] * (most // 1000 + 2))), 413)
    escaped = json.dumps({"input": "\U0001f600" * LIMITS.longest}).encode()
    assert len(escaped) > SIGN * LIMITS.longest
    told = client.post(SPEECH, content=escaped, headers={"content-type": "application/json"})
    assert "nothing to say" in problem(told, 400)["message"], "it has room, however it is written"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_hosts_that_are_known(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "localhost:8000@evil.example", "10.0.0.1", "::1", "",
     "localhost:x", "[::1", "localhost/", "a@localhost"],
)  # fmt: skip
def test_hosts_that_are_not(client: TestClient, host: str) -> None:
    for path in ("/", "/health", "/v1/models"):
        assert problem(client.get(path, headers={"host": host}), 421)["code"] == "unknown_host"


def test_other_sites_may_not_ask(client: TestClient) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://[", "host": "localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        problem(client.post(SPEECH, json={"input": SHORT}, headers=headers), 403)
    own = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert client.post(SPEECH, json={"input": SHORT}, headers=own).status_code == 200
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    told = client.options(SPEECH, headers=preflight)
    assert not any(key.startswith("access-control") for key in told.headers)


def test_a_token(talker: Talker) -> None:
    server, _ = made(talker, Door(token="s3cret"))
    with TestClient(server, "http://localhost") as client:
        assert client.get("/health").status_code == 200
        assert "Token of the server" in client.get("/").text
        wrong = [
            "",
            "s3cret",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Basic s3cret",
        ]
        for given in [None, *wrong, "Bearer s3cr\u00e9t".encode()]:
            headers = {} if given is None else {"authorization": given}
            for path in ("/v1/models", "/v1/voices", "/openapi.json", "/elsewhere"):
                told = client.get(path, headers=headers)
                assert problem(told, 401)["code"] == "invalid_api_key"
                assert told.headers["www-authenticate"] == "Bearer"
            problem(client.post(SPEECH, json={"input": SHORT}, headers=headers), 401)
        right = {"authorization": "Bearer s3cret"}
        assert client.get("/v1/models", headers=right).status_code == 200
        assert client.post(SPEECH, json={"input": SHORT}, headers=right).status_code == 200
        described = client.get("/openapi.json", headers=right).json()
        assert described["paths"]["/v1/models"]["get"]["security"] == [{"token": []}]


def test_any_address(talker: Talker) -> None:
    """Of one that listens on all: an address cannot be led here by a name server, a name can."""
    server, _ = made(talker, Door(frozenset({"voice.example"}), addresses=True, token="a"))
    with TestClient(server) as client:
        for host, status in {"10.0.0.7:80": 200, "[fe80::1]": 200, "voice.example": 200,
                             "evil.example": 421}.items():  # fmt: skip
            assert client.get("/health", headers={"host": host}).status_code == status


def test_the_page_is_whole_by_itself(client: TestClient) -> None:
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in response.text


# ---- What is given up, by the messages between server and application


class Call:
    """A request of one client, who may go at any time."""

    def __init__(self, server: Callable[..., Awaitable[None]], **asked: Any) -> None:
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": SPEECH, "headers": headers}
        more = {"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}
        self.scope = scope | more | {"asgi": {"version": "3.0", "spec_version": "2.3"}}
        self.body: bytes | None = json.dumps(asked).encode()
        self.gone, self.sent = asyncio.Event(), list[dict[str, Any]]()
        self.task = asyncio.ensure_future(server(self.scope, self.receive, self.send))

    async def receive(self) -> dict[str, Any]:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def chunks(self) -> int:
        return sum(bool(message.get("body")) for message in self.sent)

    @property
    def whole(self) -> bool:
        return not self.sent[-1].get("more_body", True)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def living(talker: Talker, limits: Limits = LIMITS) -> Any:
    server, engine = made(talker, limits=limits)
    async with server.router.lifespan_context(server):
        yield server, engine


def given_up(talker: Talker, when: Callable[[Call, Engine], bool]) -> tuple[Call, int]:
    """A client who goes at some time, and for how many pieces the engine was asked."""

    async def run() -> tuple[Call, int]:
        async with living(talker) as (server, engine):
            call = Call(server, input=LONG, response_format="pcm")
            await until(lambda: when(call, engine))
            call.gone.set()
            await asyncio.wait_for(call.task, 10)
            await until(lambda: engine.busy == 0)
            asked = engine.asked
            again = Call(server, input=SHORT)
            await asyncio.wait_for(again.task, 60)
            assert again.status == 200
            assert again.whole
            assert engine.asked == asked + 1, "nothing more was asked for who had gone"
            return call, asked

    return asyncio.run(run())


def test_a_client_who_goes_before_the_first_piece(talker: Talker) -> None:
    call, asked = given_up(talker, lambda call, engine: engine.busy > 0)
    assert not call.sent
    assert asked == 1


def test_a_client_who_goes_in_the_middle(talker: Talker) -> None:
    call, asked = given_up(talker, lambda call, engine: call.chunks >= 2)
    assert call.status == 200
    assert not call.whole
    assert asked < 10, "most of it was never asked for"


def test_the_queue_is_full(talker: Talker) -> None:
    async def run() -> None:
        async with living(talker) as (server, engine):
            calls = [Call(server, input=LONG) for _ in range(LIMITS.queue)]
            await until(lambda: engine.busy >= LIMITS.queue)
            late = Call(server, input=SHORT)
            await asyncio.wait_for(late.task, 10)
            assert late.status == 429
            assert (b"retry-after", b"5") in late.sent[0]["headers"]
            calls[0].gone.set()
            await asyncio.wait_for(calls[0].task, 10)
            late = Call(server, input=SHORT)
            await asyncio.wait_for(late.task, 60)
            assert late.status == 200
            calls[1].gone.set()
            await asyncio.wait_for(calls[1].task, 10)

    asyncio.run(run())


def test_a_time_limit(talker: Talker) -> None:
    async def run() -> None:
        async with living(talker, Limits(seconds=0.05)) as (server, engine):
            call = Call(server, input=LONG, stream=False)
            await asyncio.wait_for(call.task, 30)
            assert call.status == 504
            assert b"more than 0.05 s" in call.sent[1]["body"]
            await until(lambda: engine.busy == 0)

    asyncio.run(run())


def test_a_time_limit_in_the_middle(talker: Talker) -> None:
    """The connection is cut: what is there must not look like all of it."""

    async def run() -> None:
        async with living(talker, Limits(seconds=2)) as (server, engine):
            call = Call(server, input=LONG * 2, response_format="pcm")
            await asyncio.wait_for(call.task, 30)
            assert call.status in (200, 504)  # 504 where nothing was there so soon
            assert call.status == 504 or not call.whole
            await until(lambda: engine.busy == 0)

    asyncio.run(run())


def test_the_server_ends(talker: Talker) -> None:
    async def run() -> None:
        async with living(talker) as (server, engine):
            call = Call(server, input=LONG)
            await until(lambda: engine.busy > 0)
            call.task.cancel()
            await asyncio.wait_for(call.task, 10)
            assert call.status == 503
        assert not engine._thread.is_alive()

    asyncio.run(run())


def test_a_fault(talker: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One before the first sound is 500 in words, one after it cuts the connection."""
    real = Talker.sound
    calls: list[int] = []

    def failing(self: Talker, *given: Any) -> Any:
        calls.append(1)
        if len(calls) in (1, 4):
            raise RuntimeError("a secret of the inside")
        return real(self, *given)

    monkeypatch.setattr(Talker, "sound", failing)
    server, _ = made(talker)
    with TestClient(server, "http://localhost", raise_server_exceptions=False) as client:
        told = problem(ask(client), 500)
        assert (told["type"], "secret" in told["message"]) == ("server_error", False)

    async def run() -> None:
        async with living(talker) as (server, engine):
            call = Call(server, input=LONG, response_format="pcm")
            with pytest.raises(RuntimeError, match="secret"):
                await call.task
            assert call.status == 200
            assert len(calls) == 4
            assert not call.whole
            await until(lambda: engine.busy == 0)

    asyncio.run(run())


def test_a_piece_that_comes_to_nothing_is_spoken_again(
    talker: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from revoice.speaking import engine as module

    real = module.complete

    def nothing(nar: Any, requests: Any, *given: Any) -> Any:
        found = real(nar, requests, *given)
        for number, request in enumerate(requests):
            if request.seed[0] == 2 or request.seed == (1, 0, 0):
                object.__setattr__(found[number], "codes", found[number].codes[:0])
        return found

    monkeypatch.setattr(module, "complete", nothing)
    server, engine = made(talker)
    with TestClient(server, "http://localhost") as client:
        assert len(samples(ask(client, seed=1).content)) > 10_000
        assert engine.asked == 2
        told = problem(ask(client, seed=2), 400)
        assert "made nothing of 'Good morning to you.'" in told["message"]
        assert engine.asked == 5


def test_models_need_names(talker: Talker) -> None:
    engines = [Engine(talker), Engine(talker)]
    with pytest.raises(ValueError, match="a name of its own"):
        app(engines, Door(), LIMITS)
    for engine in engines:
        engine.close()
    with pytest.raises(ValueError, match="above 0"):
        Limits(queue=0)
