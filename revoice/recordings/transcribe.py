"""What is said in segments, word by word: Whisper writes it down, many segments at a time."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
from lhotse.cut import Cut
from numpy.typing import NDArray

from revoice.codec.cuts import load_mono
from revoice.evaluation.recognizers import RATE, check_whisper

WINDOW = 28.0  # seconds of speech and pauses that are heard at once: Whisper takes 30
PAUSE = 1.0  # seconds between two segments in a window, at most
LATE = 0.05  # seconds that a word's end may be too late
BATCH = 4  # windows
BEAMS = 5
FRAMES = 3000  # of 10 ms, that Whisper always sees
OPENING = tuple("\"'“‘¿¡([{«")

Samples = NDArray[np.float32]


class Word(NamedTuple):
    """A word with its punctuation, seconds from the begin of what was heard, and 0 to 1."""

    text: str
    begin: float
    end: float
    probability: float


class Heard(NamedTuple):
    """What was heard in a window, or in a segment of it."""

    words: list[Word]
    language: str
    sureness: float  # probability that it is this language

    @property
    def text(self) -> str:
        """Its words, as Whisper joins them: with their own spaces."""
        return "".join(word.text for word in self.words).strip()

    @property
    def confidence(self) -> float:
        """Mean probability of its words; 0 where there are none."""
        return float(np.mean([word.probability for word in self.words])) if self.words else 0.0


# Windows (N,) at 16 kHz of at most 30 s, and the language or None: what is heard in each.
Hear = Callable[[Sequence[Samples], str | None], list[Heard]]


def load_hear(folder: str | Path, threads: int = 1) -> Hear:
    """Whisper from a folder in CTranslate2's form, on the CPU, with words and their times.

    Without a language each window's is found. Raises FileNotFoundError as `check_whisper`.
    """
    check_whisper(folder)
    package = importlib.import_module("faster_whisper")
    tokenizers = importlib.import_module("faster_whisper.tokenizer")
    model = package.WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=threads
    )

    def hear(windows: Sequence[Samples], language: str | None) -> list[Heard]:
        sounds = [model.feature_extractor(window)[:, :FRAMES] for window in windows]
        frames = [sound.shape[1] for sound in sounds]
        encoded = model.encode(
            np.stack([np.pad(s, ((0, 0), (0, FRAMES - s.shape[1]))) for s in sounds])
        )
        found = [("en", 1.0)] * len(windows)
        if model.model.is_multilingual:
            found = [
                (each[0][0].strip("<|>"), each[0][1])
                for each in model.model.detect_language(encoded)
            ]
        spoken = [language or name for name, _ in found]
        written = [list[Word]()] * len(windows)
        for name in dict.fromkeys(spoken):
            tokenizer = tokenizers.Tokenizer(
                model.hf_tokenizer, model.model.is_multilingual, "transcribe", name
            )
            here = [i for i, other in enumerate(spoken) if other == name]
            found_words = _written(model, tokenizer, encoded, frames, here)
            for i, words in zip(here, found_words, strict=True):
                written[i] = words
        return [Heard(words, *of) for words, of in zip(written, found, strict=True)]

    return hear


def _written(
    model: Any, tokenizer: Any, encoded: Any, frames: list[int], rows: list[int]
) -> Iterator[list[Word]]:
    """The words of some rows of what is encoded, as a tokenizer of their language reads them."""
    prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
    results = model.model.generate(
        encoded,
        [prompt] * len(frames),
        beam_size=BEAMS,
        max_length=model.max_length,
        suppress_tokens=[-1],
    )
    tokens = [
        [token for token in result.sequences_ids[0] if token < tokenizer.eot] for result in results
    ]
    aligned = model.find_alignment(tokenizer, tokens, encoded, frames)
    for row in rows:
        yield _with_marks(
            Word(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
            for word in aligned[row]
        )


def _with_marks(words: Iterable[Word]) -> list[Word]:
    """Words with the marks that Whisper puts between them; a mark alone is no word."""
    marked: list[Word] = []
    before = ""  # what opens the next word
    for word in words:
        mark = word.text.strip()
        if any(sign.isalnum() for sign in mark):
            marked.append(word._replace(text=f" {before}{mark}" if before else word.text))
            before = ""
        elif mark.endswith(OPENING):
            before += mark
        elif marked:
            marked[-1] = marked[-1]._replace(text=marked[-1].text + mark)
    return marked


class Place(NamedTuple):
    """Where in a window a segment is heard, in seconds."""

    segment: int
    begin: float
    end: float


def transcribe(cuts: Iterable[Cut], hear: Hear, language: str | None) -> Iterator[Heard]:
    """What is heard in each segment, in their order; the times of words are from its begin on.

    Segments of a recording follow one another in windows, which takes a fraction of the time that
    one by one would take. One in which nothing was heard so is heard again by itself. A batch of
    windows is in memory at a time.

    `language`: as Whisper calls it (`en`); None: that of each window is found.
    """
    for _, of_recording in groupby(cuts, key=lambda cut: cut.recording_id):
        windows = _windows(of_recording)
        while some := list(islice(windows, BATCH)):
            yield from _heard_together(some, hear, language)


def _windows(cuts: Iterable[Cut]) -> Iterator[list[Cut]]:
    """Segments that are heard together: one after the other, with the pauses between them."""
    window: list[Cut] = []
    filled = 0.0
    for cut in cuts:
        pause = _pause(window[-1], cut) if window else 0.0
        if window and filled + pause + cut.duration > WINDOW:
            yield window
            window, filled, pause = [], 0.0, 0.0
        window.append(cut)
        filled += pause + cut.duration
    if window:
        yield window


def _pause(before: Cut, after: Cut) -> float:
    return min(max(after.start - before.end, 0.0), PAUSE)


def _heard_together(windows: list[list[Cut]], hear: Hear, language: str | None) -> list[Heard]:
    sounds, places = zip(*map(_joined, windows), strict=True)
    segments: list[Heard] = []
    alone: list[int] = []
    for heard, where in zip(hear(sounds, language), places, strict=True):
        for part in _parted(heard, where):
            if not part.words:
                alone.append(len(segments))
            segments.append(part)
    cuts = [cut for window in windows for cut in window]
    for at in range(0, len(alone), BATCH):
        some = alone[at : at + BATCH]
        for i, heard in zip(some, hear([_sound(cuts[i]) for i in some], language), strict=True):
            segments[i] = heard
    return segments


def _sound(cut: Cut) -> Samples:
    """A segment at the rate that Whisper hears."""
    samples = load_mono(cut, int(cut.sampling_rate))
    return librosa.resample(samples, orig_sr=cut.sampling_rate, target_sr=RATE)


def _joined(window: list[Cut]) -> tuple[Samples, list[Place]]:
    """The sound of a window, and where its segments are in it."""
    parts: list[Samples] = []
    places = []
    at = 0.0
    for number, cut in enumerate(window):
        if number:
            silence = np.zeros(int(_pause(window[number - 1], cut) * RATE), np.float32)
            parts.append(silence)
            at += len(silence) / RATE
        parts.append(_sound(cut))
        places.append(Place(number, at, at + len(parts[-1]) / RATE))
        at = places[-1].end
    return np.concatenate(parts), places


def _parted(heard: Heard, places: Sequence[Place]) -> Iterator[Heard]:
    """What was heard in each segment of a window: the words whose end is in it, or nearest.

    A word's end tells where it is better than its begin does: after a pause that is often before.
    """
    words: list[list[Word]] = [[] for _ in places]
    for word in heard.words:
        at = word.end - LATE
        place = min(places, key=lambda p: max(p.begin - at, at - p.end))
        length = place.end - place.begin
        begin, end = (min(max(t - place.begin, 0.0), length) for t in (word.begin, word.end))
        words[place.segment].append(word._replace(begin=begin, end=end))
    return (heard._replace(words=of) for of in words)
