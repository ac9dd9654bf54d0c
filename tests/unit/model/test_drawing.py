"""What keeps an AR from saying things twice, and utterances that come and go."""

import numpy as np
import pytest
import torch

from revoice.model.drawing import Draw, Drawn, Sampling, Speaking, draw
from revoice.model.generate import draws_of, with_seed
from revoice.model.valle import AR, EOS, NAR
from tests.unit.model.test_generate import CONFIG, REQUESTS, likely_eos, made, prompt, request

FREE = Sampling(top_k=20, max_frames=30)


@pytest.fixture(scope="module")
def models() -> tuple[AR, NAR]:
    return made(CONFIG)


def asked(ar: AR, sampling: Sampling) -> list[Draw]:
    seeded = [with_seed(one, (1, index)) for index, one in enumerate(REQUESTS)]
    return [one for each in seeded for one in draws_of(ar, each, sampling)]


def drawn(limit: int = 200, planned: float = 0) -> Drawn:
    return Drawn(Draw([1], None, np.zeros(0, int), [(0, 0), (1, planned)], limit, (1,)))


def say(codes: list[int], loop: int | None = None) -> Drawn:
    one = drawn()
    for code in codes:
        if one.done:
            break
        one.say(code, -1.0, loop)
    return one


def test_a_span_over_and_over_ends_it() -> None:
    start, span = [1, 2, 3], [10, 11, 12, 13]
    looped = say([*start, *span * 10], loop=20)
    assert looped.done
    assert not looped.ended
    assert looped.codes == [*start, *span], "one of the spans is kept"
    assert say([*start, *span * 2, 9], loop=20).codes == [*start, *span * 2, 9]
    assert len(say([*start, *span * 10]).codes) == 43, "nobody looks for it"


def test_a_code_that_stays() -> None:
    assert say([4, *[5] * 30], loop=12).codes == [4, 5]
    assert say([4, *[5] * 11, 6], loop=12).codes == [4, *[5] * 11, 6]


def test_two_times_are_not_over_and_over() -> None:
    span = list(range(10))
    assert len(say([*span, *span, 77], loop=20).codes) == 21, "three times at least"
    assert say([*span * 4], loop=30).codes == span


def test_the_end_comes_before_a_loop() -> None:
    one = say([*[5] * 11, EOS], loop=12)
    assert one.ended
    assert len(one.codes) == 11


def test_overdue() -> None:
    one = drawn(planned=10)
    assert one.overdue == 0
    for _ in range(15):
        one.say(3, -1.0, None)
    assert one.overdue == pytest.approx(0.5)
    unplanned = drawn()
    unplanned.say(3, -1.0, None)
    assert unplanned.overdue == 0, "nobody knows how long it is to be"


def repeats(found: list[Drawn], window: int) -> float:
    """The share of codes that were among the ones before."""
    pairs = [
        code in one.codes[max(0, i - window) : i]
        for one in found
        for i, code in enumerate(one.codes)
    ]
    return sum(pairs) / len(pairs)


def test_what_is_said_too_often_is_drawn_again(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], -100.0)
    cold = Sampling(top_k=3, temperature=0.2, max_frames=60)
    aware = Sampling(top_k=3, temperature=0.2, max_frames=60, window=10, repetition=0.1)
    plain, redrawn = (draw(ar, asked(ar, how), how, 8) for how in (cold, aware))
    assert repeats(redrawn, 10) < 0.8 * repeats(plain, 10)
    for one in redrawn:
        assert all(0 <= code < EOS for code in one.codes)
    patient = Sampling(top_k=3, temperature=0.2, max_frames=60, window=10, repetition=1.0)
    same = draw(ar, asked(ar, patient), patient, 8)
    assert [one.codes for one in same] == [one.codes for one in plain]


def test_the_end_is_urged_once_it_is_due(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], -30.0)
    planned = [
        Draw([1, 2], [0, 0], np.zeros(0, int), [(0, 0), (2, 20.0)], 200, (i,)) for i in range(4)
    ]
    late = draw(ar, planned, Sampling(top_k=20, temperature=0.5), 4)
    urged = draw(ar, planned, Sampling(top_k=20, temperature=0.5, end_bias=100.0), 4)
    assert all(not one.ended for one in late)
    assert all(one.ended and 20 < len(one.codes) < 40 for one in urged)
    for one, other in zip(urged, late, strict=True):
        assert one.codes[:20] == other.codes[:20], "until then nothing is different"


@pytest.mark.parametrize("sampling", [FREE, Sampling(top_k=9, window=4, max_frames=30, loop=6)])
def test_who_comes_later_says_the_same(models: tuple[AR, NAR], sampling: Sampling) -> None:
    ar = models[0]
    alone = [draw(ar, [one], sampling, 1)[0].codes for one in asked(ar, sampling)]
    found = [Drawn(one) for one in asked(ar, sampling)]
    speaking, waiting = Speaking(ar, sampling), list(found)
    with torch.inference_mode():
        for number in range(1000):
            if waiting and number % 3 == 0:
                speaking.begin([waiting.pop()])
            if number == 7:
                speaking.close_ranks()
            speaking.step()
            if not waiting and speaking.free == len(speaking.who):
                break
    assert [one.codes for one in found] == alone
    assert all(one.done for one in found)


def test_who_is_given_up_makes_room(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], -100.0)
    one, other = (Drawn(each) for each in asked(ar, FREE)[:2])
    speaking = Speaking(ar, FREE)
    with torch.inference_mode():
        speaking.begin([one, other])
        speaking.step()
        one.done = True
        assert speaking.step() == [one]
        assert len(one.codes) == 1, "nothing is added to it"
        assert speaking.free == 1
        while speaking.free < 2:
            speaking.step()
    assert other.codes == draw(ar, [other.draw], FREE, 1)[0].codes


def test_long_texts_come_after_short_ones(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], -100.0)
    short, long = request(2, 0), request(9, 1, prompt=prompt(20, 5))
    draws = [draws_of(ar, with_seed(one, (1,)), FREE)[0] for one in (short, long)]
    found, speaking = [Drawn(each) for each in draws], Speaking(ar, FREE)
    with torch.inference_mode():
        speaking.begin(found[:1])
        speaking.step()
        speaking.begin(found[1:])
        while speaking.free < 2:
            speaking.step()
    assert [one.codes for one in found] == [draw(ar, [each], FREE, 1)[0].codes for each in draws]


@pytest.mark.parametrize("bad", [{"window": 0}, {"loop": 0}, {"repetition": 1.5}, {"end_bias": -1}])
def test_sampling_that_cannot_be(bad: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        Sampling(**bad)
