"""Requests of many at once, spoken side by side: who comes in joins those that are being spoken."""

import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from revoice.model.drawing import Drawn, Speaking
from revoice.model.generate import Request, Synthesis, best_of, complete, draws_of
from revoice.speaking.talker import Talker

log = logging.getLogger(__name__)


class Closed(RuntimeError):
    """Nobody speaks here any more."""


@dataclass(eq=False)  # arrays are in it
class _Turn:
    """A request, its draws, and whom it is promised to."""

    request: Request
    drawn: list[Drawn]
    promise: Future[Synthesis]


class Engine:
    """A model at work in a thread of its own, with at most `slots` draws at a time.

    What a request becomes depends on its seed alone, and not on who is spoken beside it (but for
    rounding, where weights are less than float32).
    """

    def __init__(self, talker: Talker, slots: int = 16) -> None:
        self.talker, self.slots = talker, slots
        self._sampling, self._entries = talker.sampling, talker.entries
        self._coming: deque[_Turn] = deque()
        self._turns: list[_Turn] = []
        self._waiting: deque[Drawn] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"engine {talker.name}", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Future[Synthesis]:
        """Ask for a request that has a seed; to cancel what comes back gives it up.

        Raises Closed once the engine is closed; what it has not spoken by then is cancelled.
        """
        draws = draws_of(
            self.talker.ar, request, self._sampling, self.talker.config.prompted == "both"
        )
        turn = _Turn(request, [Drawn(draw) for draw in draws], Future())
        with self._changed:
            if self._closed:
                raise Closed("the engine is closed")
            self._coming.append(turn)
            self._changed.notify()
        return turn.promise

    @property
    def busy(self) -> int:
        """Requests that are spoken, or wait for it."""
        return len(self._coming) + len(self._turns)

    def close(self) -> None:
        """Give up what is under way, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        speaking = Speaking(self.talker.ar, self._sampling)
        while self._take():
            try:
                self._go_on(speaking)
            except Exception as error:  # whatever it was, who comes next is to be spoken
                log.exception("%d requests failed", len(self._turns))
                for turn in self._turns:
                    if turn.promise.set_running_or_notify_cancel():
                        turn.promise.set_exception(error)
                self._turns, self._waiting = [], deque()
            if not self._turns:
                speaking = Speaking(self.talker.ar, self._sampling)  # gives back its memory
        for turn in self._turns:
            turn.promise.cancel()
            turn.promise.set_running_or_notify_cancel()

    def _take(self) -> bool:
        """Take what has come, or wait for it; False once the engine is closed."""
        with self._changed:
            while not (self._coming or self._turns or self._closed):
                self._changed.wait()
            coming, self._coming = self._coming, deque()
        self._turns += coming
        self._waiting += [drawn for turn in coming for drawn in turn.drawn]
        return not self._closed

    @torch.inference_mode()
    def _go_on(self, speaking: Speaking) -> None:
        """A frame more of everything that is spoken, and what is whole with it."""
        for turn in self._turns:
            if turn.promise.cancelled():
                for drawn in turn.drawn:
                    drawn.done = True
        self._waiting = deque(drawn for drawn in self._waiting if not drawn.done)
        free = self.slots - len(speaking.who) + speaking.free
        if self._waiting and free:
            number = min(free, len(self._waiting))
            speaking.begin([self._waiting.popleft() for _ in range(number)])
        elif 2 * speaking.free > len(speaking.who):
            speaking.close_ranks()
        if speaking.free < len(speaking.who):  # nobody: all were given up before they began
            speaking.step()
        whole = [turn for turn in self._turns if all(drawn.done for drawn in turn.drawn)]
        self._turns = [turn for turn in self._turns if turn not in whole]
        whole = [turn for turn in whole if turn.promise.set_running_or_notify_cancel()]
        if whole:
            self._complete(whole)

    def _complete(self, turns: list[_Turn]) -> None:
        nar, requests = self.talker.nar, [turn.request for turn in turns]
        try:
            found = [best_of(nar, turn.request, turn.drawn) for turn in turns]
            spoken = complete(nar, requests, found, self._entries, self.talker.config.batch)
        except Exception as error:  # those beside them go on
            log.exception("%d requests failed", len(turns))
            for turn in turns:
                turn.promise.set_exception(error)
            return
        for turn, synthesis in zip(turns, spoken, strict=True):
            turn.promise.set_result(synthesis)
