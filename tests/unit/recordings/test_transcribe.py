"""Segments in windows: which are heard together, and whose the words are that were heard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import Recording
from lhotse.cut import MonoCut

from revoice.recordings import transcribe as module
from revoice.recordings.transcribe import Heard, Samples, Word, transcribe

RATE = 16000


def recording(folder: Path, seconds: float, name: str = "talk") -> Recording:
    """A ramp, so that each sample says when it was."""
    samples = np.linspace(0, 0.9, int(seconds * 24000))
    soundfile.write(folder / f"{name}.wav", samples, 24000, subtype="PCM_16")
    return Recording.from_file(folder / f"{name}.wav", recording_id=name)


def cut(of: Recording, begin: float, end: float) -> MonoCut:
    return MonoCut(f"{of.id}-{begin}", begin, end - begin, 0, recording=of)


class Ears:
    """Hears a word in the middle of each second, and keeps what it was given."""

    def __init__(self) -> None:
        self.windows: list[float] = []

    def __call__(self, windows: Sequence[Samples], language: str | None) -> list[Heard]:
        heard = []
        for window in windows:
            seconds = len(window) / RATE
            self.windows.append(seconds)
            words = [Word(f" w{i}", i + 0.4, i + 0.6, 0.8) for i in range(int(seconds))]
            heard.append(Heard(words, language or "en", 0.9))
        return heard


def test_segments_of_a_recording_are_heard_together(tmp_path: Path) -> None:
    talk, ears = recording(tmp_path, 40), Ears()
    cuts = [cut(talk, 0, 3), cut(talk, 3.2, 6.2), cut(talk, 20, 30)]
    found = list(transcribe(cuts, ears, "en"))
    assert ears.windows == [pytest.approx(3 + 0.2 + 3 + module.PAUSE + 10, abs=0.01)]
    assert [len(heard.words) for heard in found] == [3, 4, 10]


def test_a_window_is_no_longer_than_whisper_hears(tmp_path: Path) -> None:
    talk, ears = recording(tmp_path, 80), Ears()
    cuts = [cut(talk, 12 * i, 12 * i + 11) for i in range(6)]
    assert len(list(transcribe(cuts, ears, "en"))) == 6
    assert len(ears.windows) == 3
    assert max(ears.windows) <= module.WINDOW


def test_recordings_are_heard_apart(tmp_path: Path) -> None:
    first, second = recording(tmp_path, 3), recording(tmp_path, 4, "other")
    ears = Ears()
    list(transcribe([cut(first, 0, 2), cut(second, 0, 2)], ears, "en"))
    assert ears.windows == [2, 2]


def test_words_have_the_time_of_their_segment(tmp_path: Path) -> None:
    talk = recording(tmp_path, 10)
    first, second = transcribe([cut(talk, 0, 2), cut(talk, 5, 7)], Ears(), "en")
    assert [word.begin for word in first.words] == [pytest.approx(0.4), pytest.approx(1.4)]
    assert second.words[0].begin == 0  # it was heard a little early
    assert second.words[1].begin == pytest.approx(3.4 - 2 - module.PAUSE, abs=0.01)
    assert all(0 <= word.begin <= word.end <= 2 for word in second.words)


def test_what_was_missed_is_heard_again_alone(tmp_path: Path) -> None:
    talk = recording(tmp_path, 20)
    asked: list[int] = []

    def hear(windows: Sequence[Samples], language: str | None) -> list[Heard]:
        asked.append(len(windows))
        words = [Word(" only", 0.2, 0.4, 0.9)] if len(asked) == 1 else [Word(" again", 1, 2, 0.7)]
        return [Heard(words, "en", 0.9)] * len(windows)

    found = list(transcribe([cut(talk, 0, 5), cut(talk, 6, 11)], hear, "en"))
    assert [heard.text for heard in found] == ["only", "again"]
    assert asked == [1, 1]


def test_a_mark_alone_is_no_word() -> None:
    heard = [" “", "Hello", " ,", " you", " .", " -", " Bye", "!"]
    words = module._with_marks(Word(text, i, i + 1, 0.5) for i, text in enumerate(heard))
    assert [word.text for word in words] == [" “Hello,", " you.-", " Bye!"]
    assert [word.begin for word in words] == [1, 3, 6]


def test_text_and_confidence() -> None:
    heard = Heard([Word(" Hello,", 0, 1, 0.5), Word(" you.", 1, 2, 1.0)], "en", 0.9)
    assert heard.text == "Hello, you."
    assert heard.confidence == 0.75
    assert Heard([], "en", 0.9).confidence == 0
