"""Where the text of a segment comes from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import MonoCut

from revoice.recordings.heard import supervise
from revoice.recordings.transcribe import Heard, Samples, Word


@pytest.fixture
def cuts(tmp_path: Path) -> list[MonoCut]:
    soundfile.write(tmp_path / "talk.wav", np.zeros(24000 * 9), 24000)
    talk = Recording.from_file(tmp_path / "talk.wav", recording_id="talk")
    return [MonoCut(f"talk-{i}", 3.0 * i, 2.0, 0, recording=talk) for i in range(3)]


def said(text: str, language: str = "en") -> Heard:
    words = [Word(f" {word}", i * 0.5, i * 0.5 + 0.4, 0.9) for i, word in enumerate(text.split())]
    return Heard(words, language, 0.95)


def ears(texts: Sequence[Heard]) -> object:
    """Hears these, one after the other, whatever it is given: each window one segment."""
    left: Iterator[Heard] = iter(texts)
    return lambda windows, language: [next(left) for _ in windows]


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revoice.recordings.transcribe.WINDOW", 2.0)


def test_what_was_heard(cuts: list[MonoCut], monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)
    hear = ears([said("Good morning."), said("How are you?"), said("Bye.")])
    found = list(supervise(cuts, hear, "en", lambda recording: None))
    assert [each.text for each in found] == ["Good morning.", "How are you?", "Bye."]
    assert found[1].id == "talk-1"
    assert (found[1].start, found[1].duration) == (3.0, 2.0)
    assert found[1].custom["source"] == "recognised"
    assert found[1].custom["confidence"] == 0.9
    assert [word.start for word in found[1].alignment["word"]] == [3.0, 3.5, 4.0]


def test_a_transcript_of_the_whole(cuts: list[MonoCut], monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)
    hear = ears([said("good morning"), said("how ah you"), said("by")])
    text = {"talk": "Good morning. How are you? Bye."}
    found = list(supervise(cuts, hear, "en", text.get))
    assert [each.text for each in found] == ["Good morning.", "How are you?", "Bye."]
    assert [each.custom["source"] for each in found] == ["transcript"] * 3
    assert found[1].custom["matched"] == 0.667


def test_subtitles_are_not_heard(cuts: list[MonoCut]) -> None:
    for cut in cuts:
        about = {"text": "As it stands.", "speaker": "Ann"}
        cut.supervisions = [SupervisionSegment(cut.id, "talk", 0.0, 2.0, **about)]

    def hear(windows: Sequence[Samples], language: str | None) -> list[Heard]:
        raise AssertionError("there is nothing to hear")

    found = list(supervise(cuts, hear, "en", {"talk": "Another text."}.get))
    assert {each.text for each in found} == {"As it stands."}
    assert {each.speaker for each in found} == {"Ann"}
    assert found[0].custom == {"source": "subtitles"}


def test_the_language_is_found(cuts: list[MonoCut], monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)
    hear = ears([said("Bonjour.", "fr"), said("Hello.", "en"), said("Salut.", "fr")])
    found = list(supervise(cuts, hear, None, lambda recording: None))
    assert [each.language for each in found] == ["fr", "en", "fr"]
    assert found[0].custom["found"] == "fr"
