"""Segments of long recordings of people, in which every word is known: nothing is cut into."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import jiwer
import numpy as np
import pytest
import soundfile
from lhotse import Recording as LhotseRecording
from lhotse.cut import MonoCut
from numpy.typing import NDArray

from revoice.config import AudioConfig
from revoice.config_recordings import RecordingsConfig
from revoice.corpus.audio import resample
from revoice.evaluation.choice import choose_recognizer
from revoice.evaluation.normalize import join_compounds, normalize
from revoice.files import RESOURCES
from revoice.recordings.assess import assess_cuts
from revoice.recordings.cuts import IN_TURN, cut_of
from revoice.recordings.diarize import tell_apart
from revoice.recordings.given import deal_out
from revoice.recordings.segments import Pauses, Span, find_segments
from revoice.recordings.transcribe import Hear, load_hear, transcribe
from revoice.synthetic.voices import loudness
from tests.helpers.conversations import LONG, THREE, VOICES, Spoken, write_long, write_three

ROOT = Path(__file__).resolve().parents[3]
NEAR = 0.03  # seconds: an edge this near to one of a sentence is no cut into it
FAR_BELOW = 25  # dB below what is loud of a sentence: a pause in it
PAUSE = 6  # frames of 10 ms, of a pause at least


class Recording(NamedTuple):
    """One that was made: by whom, what is said, how loud each 10 ms are in dB, its segments."""

    speakers: set[str]
    spoken: list[Spoken]
    levels: NDArray[np.float64]
    segments: list[Span]
    path: Path  # as the workflow has it


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the default corpus lies, or may be fetched to."""
    folder = tmp_path_factory.mktemp("asterisk")
    for language in ("en", "it"):
        if (ROOT / "data/asterisk" / language).is_dir():
            (folder / language).symlink_to(ROOT / "data/asterisk" / language)
    return folder


def made(folder: Path, corpus: Path, name: str, minutes: float) -> list[Spoken]:
    write = write_long if name == LONG else write_three
    try:
        return write(folder, corpus, minutes)
    except RuntimeError as error:
        pytest.skip(f"the default corpus cannot be had: {error}")
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def levels_of(folder: Path, name: str) -> tuple[Path, NDArray[np.float64]]:
    """The recording as the workflow has it, and the loudness of each 10 ms."""
    (source,) = resample("made", [name], folder, folder / "audio", AudioConfig())
    assert not source.reason
    path = folder / "audio" / f"{source.id}.wav"
    samples = soundfile.read(path, dtype="float32")[0]
    return path, 20 * np.log10(np.maximum(loudness(samples), 1e-5))


@pytest.fixture(scope="module", params=[(LONG, 12), (THREE, 4)], ids=["long", "three"])
def recording(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    name, minutes = request.param
    folder = tmp_path_factory.mktemp("made")
    spoken = made(folder, corpus, name, minutes)
    path, levels = levels_of(folder, name)
    assert len(levels) == 6000 * minutes
    speakers = set(VOICES if name == THREE else VOICES[:1])
    return Recording(speakers, spoken, levels, find_segments(path), path)


def cuts_into(recording: Recording) -> Iterator[tuple[float, Spoken]]:
    """Where a segment begins or ends inside a sentence."""
    for time in sorted({time for span in recording.segments for time in span}):
        for one in recording.spoken:
            if one.begin + NEAR < time < one.end - NEAR:
                yield time, one


def pauses(levels: NDArray[np.float64], one: Spoken) -> list[Span]:
    """Where nothing is heard inside a sentence for 60 ms or more."""
    begin, end = int(100 * one.begin), round(100 * one.end)
    quiet = levels[begin:end] < np.percentile(levels[begin:end], 95) - FAR_BELOW
    found, at = [], begin
    for silent, frames in groupby(quiet):
        length = len(list(frames))
        if silent and length >= PAUSE:
            found.append((at / 100, (at + length) / 100))
        at += length
    return found


def test_nearly_all_speech_is_in_segments(recording: Recording) -> None:
    def inside(one: Spoken) -> float:
        return sum(max(0.0, min(e, one.end) - max(b, one.begin)) for b, e in recording.segments)

    lengths = np.array([one.end - one.begin for one in recording.spoken])
    shares = np.array([inside(one) for one in recording.spoken]) / lengths
    assert np.average(shares, weights=lengths) > 0.98
    assert shares.min() > 0.8, "none is lost"


def test_there_is_little_else_in_them(recording: Recording) -> None:
    spoken = sum(one.end - one.begin for one in recording.spoken)
    assert sum(end - begin for begin, end in recording.segments) < 1.2 * spoken


def test_no_word_is_cut_into(recording: Recording) -> None:
    wrong = [
        (time, one.text)
        for time, one in cuts_into(recording)
        if not any(b <= time <= e for b, e in pauses(recording.levels, one))
    ]
    assert wrong == []


def test_segments_are_of_the_lengths_asked_for(recording: Recording) -> None:
    wanted = Pauses()
    for begin, end in recording.segments:
        assert wanted.shortest <= end - begin <= wanted.longest + 1e-6
    assert all(one[1] <= other[0] for one, other in pairwise(recording.segments))


def test_50_to_200_ms_around_speech_go_with_it(recording: Recording) -> None:
    inside = {time for time, _ in cuts_into(recording)}
    for begin, end in recording.segments:
        before = min(one.begin for one in recording.spoken if one.begin > begin - NEAR) - begin
        after = end - max(one.end for one in recording.spoken if one.end < end + NEAR)
        assert begin in inside or 0.05 <= before <= 0.2
        assert end in inside or 0.05 <= after <= 0.2


def test_what_is_said_is_known(recording: Recording) -> None:
    spoken, levels = recording.spoken, recording.levels
    assert all(one.text for one in spoken)
    assert all(one.end < other.begin for one, other in pairwise(spoken))
    assert {one.speaker for one in spoken} == recording.speakers
    said = np.zeros(len(levels), bool)
    for one in spoken:
        said[int(100 * one.begin) : int(100 * one.end) + 1] = True
    speech, rest = (10 ** (levels[where] / 10) for where in (said, ~said))
    assert 25 < 10 * np.log10(speech.mean() / rest.mean()) < 35
    assert 10 * np.log10(speech.mean() / rest.max()) > 18, "no sound is left out"


@pytest.mark.parametrize("name", [LONG, THREE])
def test_a_recording_is_the_same_every_time(name: str, corpus: Path, tmp_path: Path) -> None:
    spoken = made(tmp_path / "first", corpus, name, 0.5)
    assert made(tmp_path / "second", corpus, name, 0.5) == spoken
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("first", "second"))
    assert first == second
    assert [path.name for path in (tmp_path / "first").iterdir()] == [name]


def cuts_of(recording: Recording, spans: Sequence[Span]) -> list[MonoCut]:
    made = LhotseRecording.from_file(recording.path, recording_id="made")
    return [cut_of(made, *span, "made/s") for span in spans]


@pytest.fixture(scope="module")
def hear(tmp_path_factory: pytest.TempPathFactory) -> Hear:
    data = ROOT / "data"
    if not (data / "whisper-base/model.bin").exists():
        data = tmp_path_factory.mktemp("data")
    choice = choose_recognizer("base", RESOURCES / "pretrained.yaml", data)
    if choice["folder"] is None:
        pytest.skip(choice["reason"])
    return load_hear(choice["folder"])


def word_errors(texts: Sequence[str], said: Sequence[str]) -> float:
    reference = [word for text in said for word in normalize(text)]
    heard = join_compounds([word for text in texts for word in normalize(text)], reference)
    return float(jiwer.wer(" ".join(reference), " ".join(heard)))


@pytest.mark.parametrize("recording", [(LONG, 12)], ids=["long"], indirect=True)
def test_what_is_said_is_written_down(recording: Recording, hear: Hear) -> None:
    """By Whisper with at most a tenth of the words wrong; where the text is given, nearly none."""
    cuts = cuts_of(recording, recording.segments)
    heard = [found.text for found in transcribe(cuts, hear, "en")]
    said = [one.text for one in recording.spoken]
    assert word_errors(heard, said) <= 0.1
    parts = deal_out(" ".join(said), heard, "en")
    assert word_errors([part.text for part in parts], said) <= 0.01
    # each is where it was said, as far as segments have whole sentences
    wrong = words = 0.0
    for cut, part in zip(cuts, parts, strict=True):
        touched = [one for one in recording.spoken if one.begin < cut.end and cut.start < one.end]
        if all(cut.start <= one.begin and one.end <= cut.end for one in touched):
            count = sum(len(normalize(one.text)) for one in touched)
            wrong += count * word_errors([part.text], [one.text for one in touched])
            words += count
    assert words > 800
    assert wrong <= 0.01 * words


@pytest.mark.parametrize("recording", [(THREE, 4)], ids=["three"], indirect=True)
def test_three_voices_are_told_apart(recording: Recording) -> None:
    cuts = cuts_of(recording, find_segments(recording.path, Pauses(join=IN_TURN)))
    _, embeddings = assess_cuts(cuts, 1)
    seconds = np.array([cut.duration for cut in cuts])
    labels = tell_apart(embeddings, seconds, RecordingsConfig().same_speaker)
    assert set(labels) == {0, 1, 2}
    truth = []
    for cut in cuts:
        shared = {
            one.speaker: min(one.end, cut.end) - max(one.begin, cut.start)
            for one in recording.spoken
            if one.begin < cut.end and cut.start < one.end
        }
        truth.append(max(shared, key=lambda speaker: shared[speaker]))
    pairs = list(zip(labels.tolist(), truth, strict=True))
    whose = {label: max(VOICES, key=lambda v: pairs.count((label, v))) for label in range(3)}
    assert set(whose.values()) == set(VOICES)
    assert np.mean([whose[label] == speaker for label, speaker in pairs]) >= 0.95
