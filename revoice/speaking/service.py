"""The models that speak here, and those whom they speak to."""

import asyncio
import base64
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse, Response, StreamingResponse

from revoice import __version__
from revoice.model.prompts import Prompt
from revoice.speaking.asking import (
    DEFAULT,
    KINDS,
    Health,
    Model,
    Models,
    Refused,
    SpeechRequest,
    SpokenBy,
    VoiceList,
)
from revoice.speaking.engine import Closed, Engine
from revoice.speaking.guard import Limits
from revoice.speaking.speech import Asked, Speech, Unspoken
from revoice.speaking.talker import Talker
from revoice.speaking.writing import checked_format

log = logging.getLogger(__name__)

AGAIN = 5  # seconds after which who is refused for the queue may ask again
WORKERS = 2  # threads that read texts and decode


class Service:
    """Engines at work for many clients, each of whom has a place in the queue."""

    def __init__(self, engines: Sequence[Engine], limits: Limits) -> None:
        self.engines, self.limits = {engine.talker.name: engine for engine in engines}, limits
        if len(self.engines) < len(engines) or not engines:
            raise ValueError("every model needs a name of its own, which is its folder's")
        # names alone come from clients: a preset's path is no key here
        self.prompts = {name: _prompts(each.talker) for name, each in self.engines.items()}
        self.since, self.served = int(time.time()), 0
        self.works = ThreadPoolExecutor(WORKERS, "works")
        self.waiting = ThreadPoolExecutor(limits.queue, "waiting")  # one for each who is served

    def close(self) -> None:
        """End the engines, and who waits for them."""
        for engine in self.engines.values():
            engine.close()
        for threads in (self.waiting, self.works):
            threads.shutdown()

    async def place(self) -> AsyncIterator[ExitStack]:
        """A place in the queue, until the response is out or its client gone; Refused if full."""
        if self.served >= self.limits.queue:
            message = f"{self.served} requests are being served: try again later"
            raise Refused(429, message, code="queue_full", headers={"Retry-After": str(AGAIN)})
        self.served += 1
        try:
            with ExitStack() as place:
                yield place
        finally:
            self.served -= 1

    async def answer(self, asked: SpeechRequest, place: ExitStack) -> Response:
        """The speech, whose first piece is spoken before the response begins; Refused if not."""
        speech, kind = self._speech(asked), asked.response_format
        place.callback(speech.close)
        place.callback(_log, speech, time.monotonic())
        try:
            await self._waited(speech.begin)
        except Unspoken as error:
            raise Refused(400, str(error), "input") from None
        except Closed as error:
            raise Refused(503, str(error), code="closing") from None
        headers = {
            "X-Revoice-Pieces": str(len(speech.pieces)),
            "X-Revoice-Seed": str(speech.seed),
            "X-Revoice-Rate": str(speech.talker.codec.sample_rate),
        }
        if asked.stream_format == "sse":
            events = _events(speech, self._sent(speech, kind, place))
            return StreamingResponse(events, headers=headers, media_type="text/event-stream")
        if asked.stream and len(speech.pieces) > 1:
            sent = self._sent(speech, kind, place)
            return StreamingResponse(sent, headers=headers, media_type=KINDS[kind])
        path = await self._written(speech, kind, place)
        headers["X-Revoice-Seconds"] = f"{speech.seconds:.3f}"
        return FileResponse(path, headers=headers, media_type=KINDS[kind])

    def _speech(self, asked: SpeechRequest) -> Speech:
        """What is asked for, not begun; Refused where there is no such model, voice, language."""
        name = next(iter(self.engines)) if asked.model is None else asked.model
        if (engine := self.engines.get(name)) is None:
            told = f"There is no model {name!r}, but {_list(self.engines)}"
            raise Refused(404, told, "model", "model_not_found")
        if len(asked.input) > self.limits.longest:
            told = f"The text has {len(asked.input)} characters, of at most {self.limits.longest}"
            raise Refused(400, told, "input", "too_long")
        prompt, talker = self.prompts[name].get(asked.voice_name), engine.talker
        if prompt is None:
            names = _list(voice.name for voice in talker.voices)
            told = f"{name} has no voice {asked.voice_name!r}; its voices: {names}"
            raise Refused(400, told, "voice", "unknown_voice")
        for key, known in (("language", talker.languages), ("accent", talker.ar.config.languages)):
            given = getattr(asked, key)
            if given is not None and known and given not in known:
                told = f"{name} does not know the {key} {given!r}, but {_list(known)}"
                raise Refused(400, told, key, "unknown_language")
        try:
            checked_format(asked.response_format, talker.codec.sample_rate)
        except ValueError as error:
            raise Refused(400, str(error), "response_format") from None
        how = (asked.language, asked.speed, asked.accent, asked.seed)
        return Speech(engine, self.works, Asked(asked.input, prompt, *how))

    async def _sent(self, speech: Speech, kind: str, place: ExitStack) -> AsyncIterator[bytes]:
        """The file as it comes to be."""
        chunks = speech.chunks(kind)
        place.callback(self._end, chunks)
        while (chunk := await self._waited(next, chunks, None)) is not None:
            yield chunk

    async def _written(self, speech: Speech, kind: str, place: ExitStack) -> Path:
        """The whole file, which is removed at the end: no sooner than nobody writes it any more."""
        folder = tempfile.TemporaryDirectory(prefix="revoice-")
        path = Path(folder.name) / f"speech.{kind}"
        writing = self.waiting.submit(speech.write, path)
        place.callback(writing.add_done_callback, lambda _: folder.cleanup())
        await asyncio.wrap_future(writing)
        return path

    async def _waited(self, work: Any, *arguments: Any) -> Any:
        """What a thread comes to that waits; who is cancelled leaves it to itself."""
        return await asyncio.get_running_loop().run_in_executor(self.waiting, work, *arguments)

    def _end(self, chunks: Generator[bytes, None, None]) -> None:
        def end() -> None:
            with suppress(ValueError):  # a thread is at it, and comes to its end by itself
                chunks.close()

        with suppress(RuntimeError):  # the server ends
            self.waiting.submit(end)

    def models(self) -> Models:
        """All models, the default first."""
        about: dict[str, Any] = {"object": "model", "created": self.since, "owned_by": "revoice"}
        return Models(object="list", data=[Model(id=name, **about) for name in self.engines])

    def voices(self) -> VoiceList:
        """The voices of all models, each one's default first."""
        keys = ("speaker", "language", "text", "seconds")
        found = [
            SpokenBy(id=voice.name, model=name, default=voice is engine.talker.voices[0],
                     **{key: getattr(voice, key) for key in keys})
            for name, engine in self.engines.items() for voice in engine.talker.voices
        ]  # fmt: skip
        return VoiceList(object="list", data=found)

    def health(self) -> Health:
        """That it lives, and how much it has to do."""
        pieces = sum(engine.busy for engine in self.engines.values())
        about: dict[str, Any] = {"models": list(self.engines), "requests": self.served}
        return Health(status="ok", version=__version__, pieces=pieces, **about)


def _prompts(talker: Talker) -> dict[str | None, Prompt]:
    """By their names; the first voice's without a name too."""
    prompts: dict[str | None, Prompt] = dict.fromkeys([None, DEFAULT], talker.voice())
    return prompts | {voice.name: talker.voice(voice.name) for voice in talker.voices}


async def _events(speech: Speech, chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The file in events, as OpenAI sends them."""
    async for chunk in chunks:
        delta = {"type": "speech.audio.delta", "audio": base64.b64encode(chunk).decode()}
        yield f"data: {json.dumps(delta)}\n\n"
    used = {"input_tokens": speech.symbols, "output_tokens": speech.frames}
    done = {"type": "speech.audio.done", "usage": used | {"total_tokens": sum(used.values())}}
    yield f"data: {json.dumps(done)}\n\n"


def _log(speech: Speech, began: float) -> None:
    characters, took = len(speech.asked.text), time.monotonic() - began
    log.info("%s: %d characters, %.1f s of speech in %.1f s",
             speech.talker.name, characters, speech.seconds, took)  # fmt: skip


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
