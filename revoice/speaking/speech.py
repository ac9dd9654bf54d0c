"""A text that is spoken to somebody who waits: piece by piece, each as soon as it is whole."""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from revoice.model.generate import Request, Synthesis
from revoice.model.prompts import Prompt
from revoice.speaking.engine import Closed, Engine
from revoice.speaking.pieces import pieces
from revoice.speaking.talker import Samples, shown
from revoice.speaking.telling import note
from revoice.speaking.writing import streamed, write_speech

AHEAD = 2  # pieces of a text that are asked for at a time, once the first is there
RETRIES = 2  # how often a piece is spoken again that does not end by itself
SEEDS = 2**31
Result = TypeVar("Result")
_reading = threading.Lock()  # espeak is one for all, and not made for several threads


class Unspoken(ValueError):
    """A text that the model cannot say, or made nothing of."""


@dataclass(frozen=True)
class Asked:
    """What is to be said, and how; `seed` None: a new one."""

    text: str
    prompt: Prompt
    language: str | None = None
    speed: float = 1.0
    accent: str | None = None
    seed: int | None = None


class Speech:
    """A text and what became of it so far.

    `works` has the few threads that compute: they read texts, plan and decode. Every method but
    `close` waits for them and for the engine, and is for a thread that may.
    """

    def __init__(self, engine: Engine, works: Executor, asked: Asked) -> None:
        self.engine, self.works, self.asked = engine, works, asked
        self.talker = engine.talker
        self.seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
        self.symbols = self.frames = self.samples = 0
        self._promises: list[Future[Synthesis]] = []
        self._closed = threading.Event()

    @property
    def seconds(self) -> float:
        """What was spoken so far, pauses with it."""
        return self.samples / self.talker.codec.sample_rate

    def begin(self) -> None:
        """Read the text, and speak its first piece.

        Raises Unspoken where the model cannot say it, Closed where the engine or this is closed.
        """
        try:
            with _reading:
                self.requests = self._at_work(self._read)
        except ValueError as error:
            raise Unspoken(str(error)) from None
        self.symbols = sum(len(request.ids) for request in self.requests)
        parts = self._parts()
        self._all = chain([next(parts)], parts)

    def chunks(self, kind: str) -> Generator[bytes, None, None]:
        """A file of this kind as it comes to be, after `begin`."""
        yield from streamed(self._all, self.talker.codec.sample_rate, kind, note(self.talker))

    def write(self, path: Path) -> None:
        """Write the whole file, of the kind that it ends in, after `begin`."""
        write_speech(path, self._all, self.talker.codec.sample_rate, note(self.talker))

    def close(self) -> None:
        """Give up what is not spoken yet; who waits for it gets Closed."""
        self._closed.set()
        for promise in list(self._promises):
            promise.cancel()

    def _at_work(self, work: Callable[[], Result]) -> Result:
        if self._closed.is_set():
            raise Closed("nobody waits for it")
        return self.works.submit(work).result()

    def _read(self) -> list[Request]:
        """What the model is asked for, of the whole text: what it cannot say is found at once."""
        asked, talker = self.asked, self.talker
        self.pieces = pieces(asked.text, talker.known(asked.language), asked.language)
        how = (asked.speed, asked.accent)
        return [
            talker.request(piece, asked.prompt, (self.seed, number, 0), *how)
            for number, piece in enumerate(self.pieces)
        ]

    def _parts(self) -> Iterator[Samples]:
        """The sound of one piece after the other, each with the pause after it."""
        rate, speed = self.talker.codec.sample_rate, self.asked.speed
        coming = deque([self._ask(self.requests[0])])
        for number, piece in enumerate(self.pieces):
            codes = self._spoken(number, coming.popleft()).codes
            sound = self._at_work(partial(self.talker.sound, codes, speed))
            part = np.concatenate((sound, np.zeros(round(piece.pause * rate), np.float32)))
            begin = number + 1 + len(coming)  # not before the first sound is there, which hurries
            coming += map(self._ask, self.requests[begin : number + 1 + AHEAD])
            self.frames, self.samples = self.frames + len(codes), self.samples + len(part)
            yield part

    def _ask(self, request: Request) -> Future[Synthesis]:
        promise = self._at_work(partial(self.engine.submit, request))
        self._promises = [*(each for each in self._promises if not each.done()), promise]
        if self._closed.is_set():
            promise.cancel()
        return promise

    def _spoken(self, number: int, promise: Future[Synthesis]) -> Synthesis:
        """What came of a piece; where it did not end by itself, the best of a few attempts."""
        best, request = _kept(promise), self.requests[number]
        for attempt in range(1, RETRIES + 1):
            if len(best.codes) and best.ended:
                break
            again = _kept(self._ask(replace(request, seed=(self.seed, number, attempt))))
            best = max(best, again, key=lambda one: (len(one.codes) > 0, one.ended))
        if not len(best.codes):
            raise Unspoken(
                f"the model made nothing of {shown(self.pieces[number].text)!r}: "
                "change the text, or take another seed"
            )
        return best


def _kept(promise: Future[Synthesis]) -> Synthesis:
    try:
        return promise.result()
    except CancelledError:
        raise Closed("it was given up") from None
