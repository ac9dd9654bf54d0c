"""Texts told piece by piece: the same however they are cut into batches, gone on with, mended."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from revoice.model import generate
from revoice.speaking import telling
from revoice.speaking.pieces import Piece, Span, pieces
from revoice.speaking.talker import Talker
from revoice.speaking.telling import How, speak_to, tell

TEXT = "Good morning. The train leaves at nine. Do you want to come? No? Then I shall go alone."


@pytest.fixture(scope="module")
def cut() -> list[Piece]:
    found = pieces(TEXT, ["en"], length=30)
    assert len(found) > 3
    return found


def codes(talker: Talker, cut: list[Piece], how: How = How(), **more: Any) -> list[np.ndarray]:  # noqa: B008
    return [one.codes for one in tell(talker, cut, talker.voice(), how, **more)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_batches_do_not_matter(talker: Talker, cut: list[Piece]) -> None:
    expected = codes(talker, cut)
    alone = replace(talker, config=talker.config.model_copy(update={"batch": 1}))
    assert same(codes(alone, cut), expected)
    assert not same(codes(talker, cut, How(seed=2)), expected)


def test_gone_on_with(talker: Talker, cut: list[Piece], tmp_path: Path, counted: list) -> None:
    expected = codes(talker, cut)
    counted.clear()
    begun = tell(replace_batch(talker, 2), cut, talker.voice(), How(), kept=tmp_path)
    next(begun)
    begun.close()
    assert len(counted) == 2, "a batch of two was told"
    batched = replace_batch(talker, 2)
    assert same(
        [one.codes for one in tell(batched, cut, talker.voice(), How(), kept=tmp_path)], expected
    )
    assert len(counted) == len(cut), "what was told is taken"
    counted.clear()
    assert same(codes(batched, cut, kept=tmp_path), expected)
    assert not counted
    codes(batched, cut, How(seed=2), kept=tmp_path)
    assert len(counted) == len(cut), "another seed is another text"


def replace_batch(talker: Talker, batch: int) -> Talker:
    return replace(talker, config=talker.config.model_copy(update={"batch": batch}))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list:
    """The requests that are spoken."""
    found: list = []

    def synthesize(*given: Any) -> Any:
        found.extend(given[2])
        return generate.synthesize(*given)

    monkeypatch.setattr(telling, "synthesize", synthesize)
    return found


def test_what_is_misheard_is_told_again(talker: Talker, cut: list[Piece], counted: list) -> None:
    heard: list[int] = []

    def recognizer(samples: np.ndarray, rate: int, language: str) -> str:
        """Of the second piece it understands nothing the first time, half of it the second."""
        heard.append(len(samples))
        if len(heard) > len(cut) + 1:
            return "nothing"
        if len(heard) == len(cut) + 1:
            return " ".join(cut[1].text.split()[:-1])
        return "" if len(heard) == 2 else cut[len(heard) - 1].text

    told = list(tell(replace_batch(talker, 8), cut, talker.voice(), How(retries=2), recognizer))
    assert len(counted) == len(cut) + 2
    assert [one.attempts for one in told] == [1, 3, *[1] * (len(cut) - 2)]
    assert told[1].errors == 1, "the best of the attempts is kept"
    assert told[0].errors == 0
    seeds = {request.seed for request in counted}
    assert len(seeds) == len(counted)
    again = replace(counted[-2])
    (spoken,) = generate.synthesize(
        *(talker.ar, talker.nar, [again], talker.sampling, 1, 1, talker.entries, False)
    )
    np.testing.assert_array_equal(spoken.codes, told[1].codes)


def test_a_piece_goes_on_from_the_one_before(
    talker: Talker, cut: list[Piece], counted: list
) -> None:
    told = list(tell(talker, cut[:3], talker.voice(), How(prompts="sliding")))
    first, second, _ = counted
    np.testing.assert_array_equal(first.prompt.codes, talker.voice().codes)
    np.testing.assert_array_equal(second.prompt.codes, told[0].codes)
    assert sum(second.prompt.lasting) == len(told[0].codes)
    assert second.prompt.ids == first.ids[1:], "the separator is not said"


def test_what_cannot_be_said_is_said_before_anything(talker: Talker, counted: list) -> None:
    bad = [*pieces("Good morning.", ["en"]), Piece((Span("...", "en"),), 0.0)]
    with pytest.raises(ValueError, match="nothing"):
        list(tell(talker, bad, talker.voice(), How()))
    assert not counted


def test_a_file_with_pauses(talker: Talker, cut: list[Piece], tmp_path: Path) -> None:
    path = tmp_path / "out" / "told.flac"
    done = speak_to(path, talker, cut, talker.voice(), How())
    samples, rate = soundfile.read(path)
    told = list(tell(talker, cut, talker.voice(), How()))
    pauses = sum(piece.pause for piece in cut)
    spoken = sum(len(one.samples) for one in told) / rate
    assert len(samples) / rate == pytest.approx(spoken + pauses, abs=0.01)
    assert [row["text"] for row in done["pieces"]] == [piece.text for piece in cut]
    assert done["seconds"] == pytest.approx(len(samples) / rate, abs=0.01)
    assert [file.name for file in path.parent.iterdir()] == ["told.flac"], "nothing is left"
    with soundfile.SoundFile(path) as file:
        assert "Synthetic speech" in file.comment


@pytest.mark.parametrize("bad", [{"speed": 0}, {"speed": 9}, {"retries": -1}, {"errors": 2}])
def test_how_that_cannot_be(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"speed|retries"):
        How(**bad)


def test_a_pace_does_not_add_up(talker: Talker) -> None:
    """A prompt that is spoken faster has that pace: it is not made faster again."""
    heard = replace(talker, config=talker.config.model_copy(update={"prompted": "both"}))
    again = pieces("The train leaves at nine o'clock.", ["en"]) * 4
    how = How(speed=1.3, prompts="sliding", retries=0)
    first, *_, last = (len(each) for each in codes(heard, again, how))
    assert last > 0.75 * first


def test_what_is_kept_and_damaged_is_told_again(
    talker: Talker, cut: list[Piece], tmp_path: Path, counted: list
) -> None:
    expected = codes(talker, cut, kept=tmp_path)
    damaged, whole = sorted(tmp_path.glob("*.npz"))[:2]
    damaged.write_bytes(whole.read_bytes()[:100])
    counted.clear()
    assert same(codes(talker, cut, kept=tmp_path), expected)
    assert len(counted) == 1
    counted.clear()
    assert same(codes(talker, cut, kept=tmp_path), expected)
    assert not counted


def test_another_recognizer_judges_anew(
    talker: Talker, cut: list[Piece], tmp_path: Path, counted: list
) -> None:
    def deaf(samples: np.ndarray, rate: int, language: str) -> str:
        return ""

    for name in ("one", "other"):
        counted.clear()
        how = How(retries=0, heard_by=name)
        list(tell(talker, cut, talker.voice(), how, deaf, tmp_path))
        assert len(counted) == len(cut)
