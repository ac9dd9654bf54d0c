"""Requests of many, spoken side by side in a thread."""

import threading
import time
from concurrent.futures import wait
from typing import Any

import numpy as np
import pytest

from revoice.model.generate import Request, synthesize
from revoice.speaking.engine import Engine
from revoice.speaking.pieces import Piece, Span
from revoice.speaking.talker import Talker

TEXTS = ["Good morning.", "The train leaves at nine.", "Yes.", "Do you want to come with us?"]


def asked(talker: Talker, seed: int = 0) -> list[Request]:
    prompts = [talker.voice(), talker.voice("heart_1.2")]
    return [
        talker.request(Piece((Span(text, "en"),), 0.0), prompts[i % 2], (seed, i))
        for i, text in enumerate(TEXTS)
    ]


def alone(talker: Talker, request: Request) -> np.ndarray:
    (found,) = synthesize(
        *(talker.ar, talker.nar, [request], talker.sampling, 0, 1, talker.entries, False)
    )
    return found.codes


def test_side_by_side_as_alone(talker: Talker) -> None:
    engine = Engine(talker, slots=3)
    requests = [one for seed in range(3) for one in asked(talker, seed)]
    promises = []
    for request in requests:
        promises.append(engine.submit(request))
        time.sleep(0.02)
    for request, promise in zip(requests, promises, strict=True):
        np.testing.assert_array_equal(promise.result(60).codes, alone(talker, request))
    engine.close()


def test_what_is_cancelled_makes_room(talker: Talker) -> None:
    engine = Engine(talker, slots=1)
    long = Piece((Span(" ".join(TEXTS * 3), "en"),), 0.0)
    blocking = engine.submit(talker.request(long, talker.voice(), (1,)))
    waiting = engine.submit(asked(talker)[0])
    while not engine.busy:
        time.sleep(0.01)
    assert blocking.cancel()
    assert len(waiting.result(30).codes)
    deadline = time.monotonic() + 5
    while engine.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.busy == 0
    engine.close()


def test_a_fault_is_of_its_request(talker: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, good = Engine(talker, slots=4), asked(talker)
    from revoice.speaking import engine as module

    real, calls = module.complete, []

    def failing(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise RuntimeError("out of luck")
        return real(*given)

    monkeypatch.setattr(module, "complete", failing)
    with pytest.raises(RuntimeError, match="out of luck"):
        engine.submit(good[0]).result(30)
    assert len(engine.submit(good[1]).result(30).codes), "who comes next is spoken"
    engine.close()


def test_closing_gives_up(talker: Talker) -> None:
    engine = Engine(talker, slots=2)
    promises = [engine.submit(one) for one in asked(talker)]
    engine.close()
    _, waiting = wait(promises, timeout=5)
    assert not waiting, "nobody waits for ever"
    assert any(promise.cancelled() for promise in promises)
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(asked(talker)[0])
    assert not any(t.name.startswith("engine") and t.is_alive() for t in threading.enumerate())


def test_all_are_given_up_before_they_begin(
    talker: Talker, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(talker, slots=2)
    for _ in range(3):
        assert engine.submit(asked(talker)[0]).cancel()
        while engine.busy:
            time.sleep(0.01)
    assert len(engine.submit(asked(talker)[0]).result(30).codes)
    engine.close()
    assert not caplog.records


def test_a_fault_leaves_those_beside_it(talker: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    from revoice.speaking import engine as module

    real = module.complete

    def failing(nar: Any, requests: Any, *given: Any) -> Any:
        if any(request.seed == (7,) for request in requests):
            raise RuntimeError("out of luck")
        return real(nar, requests, *given)

    monkeypatch.setattr(module, "complete", failing)
    engine = Engine(talker, slots=2)
    long = Piece((Span(" ".join(TEXTS), "en"),), 0.0)
    beside = engine.submit(talker.request(long, talker.voice(), (1,)))
    short = Piece((Span("Yes.", "en"),), 0.0)
    with pytest.raises(RuntimeError, match="out of luck"):
        engine.submit(talker.request(short, talker.voice(), (7,))).result(30)
    assert len(beside.result(60).codes)
    engine.close()
