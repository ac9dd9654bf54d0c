"""A text of any length told piece by piece: in batches, again where it went wrong, gone on with."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import soundfile
from numpy.typing import NDArray

from revoice import __version__
from revoice.config import Prompts
from revoice.evaluation.recognizers import Recognizer
from revoice.evaluation.scoring import word_errors
from revoice.files import atomic
from revoice.model.generate import Synthesis, synthesize
from revoice.model.prompts import Prompt
from revoice.speaking.pieces import Piece
from revoice.speaking.talker import Samples, Talker, shown
from revoice.speaking.writing import write_speech

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class How:
    """How a text is told.

    `prompts`: "first", each piece after the voice's prompt; "sliding", after the piece before it.
    A piece that does not end by itself is spoken again, with other random numbers, up to `retries`
    times; with a `recognizer` so is one of which more than `errors` of the words are wrong. The
    best of all is kept. `heard_by` names the recognizer: what another one has judged is told anew.
    """

    speed: float = 1.0
    accent: str | None = None
    seed: int = 1
    prompts: Prompts = "first"
    retries: int = 2
    errors: float = 0.1
    heard_by: str = ""

    def __post_init__(self) -> None:
        if not 0.25 <= self.speed <= 4:
            raise ValueError(f"speed {self.speed:g}: from 0.25 to 4")
        if self.retries < 0 or not 0 <= self.errors <= 1:
            raise ValueError("retries must not be below 0, errors in [0, 1]")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: from 0 on")


@dataclass
class Told:
    """A piece that was told: its codes (frames, quantizers) int16, and what it took.

    `attempts`: how often it was spoken; `heard`, `errors`, `words`: by the recognizer, if there is
    one.
    """

    piece: Piece
    codes: NDArray[np.int16]
    ended: bool
    attempts: int = 1
    heard: str | None = None
    errors: int = 0
    words: int = 0
    samples: Samples = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)

    @property
    def wrong(self) -> float:
        """The share of words that are wrong."""
        return self.errors / max(1, self.words)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The lowest is the best."""
        return not len(self.codes), not self.ended, self.wrong


def tell(
    talker: Talker,
    pieces: Sequence[Piece],
    prompt: Prompt,
    how: How,
    recognizer: Recognizer | None = None,
    kept: Path | None = None,
) -> Iterator[Told]:
    """Tell the pieces in their order, `config.batch` at a time, as they are done.

    `kept`: a folder for the codes of what is done. A text that was interrupted takes from there
    what was done before. Raises ValueError, before anything is spoken, where the model cannot say a
    piece.
    """
    check(talker, pieces, prompt, how)
    size = 1 if how.prompts == "sliding" else talker.config.batch
    told: list[Told] = []
    pace = how.speed
    for begin in range(0, len(pieces), size):
        some = pieces[begin : begin + size]
        if how.prompts == "sliding" and told and not _is_wrong(told[-1], how):
            prompt = _prompt_of(talker, told[-1], prompt)
            if talker.planned and talker.config.prompted == "both":  # it has that pace itself
                pace = 1 / talker.config.speed
        told = _tell_some(talker, some, begin, prompt, replace(how, speed=pace), recognizer, kept)
        for one in told:
            if len(one.codes) and not len(one.samples):  # nobody has listened to it
                one.samples = talker.sound(one.codes, how.speed)
            yield one


def check(talker: Talker, pieces: Sequence[Piece], prompt: Prompt, how: How) -> None:
    """Raise ValueError, which quotes it, where the model cannot say a piece."""
    for piece in pieces:
        talker.request(piece, prompt, (0,), how.speed, how.accent)


def _tell_some(
    talker: Talker,
    pieces: Sequence[Piece],
    begin: int,
    prompt: Prompt,
    how: How,
    recognizer: Recognizer | None,
    kept: Path | None,
) -> list[Told]:
    """Some pieces, the first of which is number `begin`; what is kept is not told again."""
    paths = [
        _place(talker, p, begin + i, prompt, how, recognizer, kept) for i, p in enumerate(pieces)
    ]
    best = {i: one for i, one in enumerate(map(_read, pieces, paths)) if one}
    new = again = [i for i in range(len(pieces)) if i not in best]
    for attempt in range(how.retries + 1):
        seeds = [(how.seed, begin + i, attempt) for i in again]
        asked = [
            talker.request(pieces[i], prompt, seed, how.speed, how.accent)
            for i, seed in zip(again, seeds, strict=True)
        ]
        spoken = synthesize(
            *(talker.ar, talker.nar, asked, talker.sampling, how.seed, talker.config.batch),
            *(talker.entries, talker.config.prompted == "both"),
        )
        for i, one in zip(again, spoken, strict=True):
            now = _heard(talker, pieces[i], one, how, recognizer)
            now.attempts = attempt + 1
            known = best.setdefault(i, now)
            if now.rank < known.rank:
                best[i] = now
            best[i].attempts = now.attempts
        again = [i for i in again if _is_wrong(best[i], how)]
        if not again:
            break
    for i in again:
        log.warning("not told well in %d attempts: %r", best[i].attempts, shown(pieces[i].text))
    for i in new:
        if path := paths[i]:
            _write(path, best[i])
    return [best[i] for i in range(len(pieces))]


def _heard(
    talker: Talker, piece: Piece, spoken: Synthesis, how: How, recognizer: Recognizer | None
) -> Told:
    told = Told(piece, spoken.codes, spoken.ended)
    if recognizer and len(spoken.codes):
        language = piece.spans[0].language
        told.samples = talker.sound(spoken.codes, how.speed)
        told.heard = recognizer(told.samples, talker.codec.sample_rate, language)
    if recognizer:
        told.errors, told.words = word_errors(piece.text, told.heard or "", piece.spans[0].language)
    return told


def _is_wrong(told: Told, how: How) -> bool:
    return not len(told.codes) or not told.ended or told.wrong > how.errors


def _prompt_of(talker: Talker, told: Told, prompt: Prompt) -> Prompt:
    """What was told, as a prompt of what follows."""
    bare = talker.request(told.piece, Prompt(codes=prompt.codes[:0]), (0,))
    ends = talker.tokenizer.ends
    inside = slice(len(ends[:1]), len(bare.ids) - len(ends[1:]))
    spoken = Prompt(bare.ids[inside], bare.languages[inside], told.codes)
    return talker.aligned(spoken)


def _place(
    talker: Talker,
    piece: Piece,
    number: int,
    prompt: Prompt,
    how: How,
    recognizer: Recognizer | None,
    kept: Path | None,
) -> Path | None:
    """The file of a piece that is told like this, by this model, after this prompt."""
    if not kept:
        return None
    told = [talker.digest, talker.config.model_dump(mode="json"), asdict(piece), number]
    told += [asdict(how), recognizer is not None, list(map(int, prompt.ids)), __version__]
    told += [list(prompt.languages), list(map(int, prompt.lasting or ()))]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(prompt.codes).tobytes())
    return kept / f"{number:06}-{digest.hexdigest()[:16]}.npz"


def _write(path: Path, told: Told) -> None:
    about = {key: getattr(told, key) for key in ("ended", "attempts", "heard", "errors", "words")}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, codes=told.codes, about=np.array(json.dumps(about)))


def _read(piece: Piece, path: Path | None) -> Told | None:
    if path is None or not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return Told(piece, file["codes"], **json.loads(str(file["about"])))
    except (KeyError, TypeError, ValueError, OSError, BadZipFile):  # it is told again
        return None


def speak_to(
    path: Path,
    talker: Talker,
    some: Sequence[Piece],
    prompt: Prompt,
    how: How,
    recognizer: Recognizer | None = None,
    bar: Any = None,
    kept: Path | None = None,
) -> dict[str, Any]:
    """Speak pieces into one file, as they are done; what was done, for a report.

    `kept`: a folder for what is done, which stays; default: a hidden one beside the file, which
    is removed when all of it is done.
    """
    own = path.parent / f".{path.name}.pieces"
    kept, started = kept or own, time.monotonic()
    told: list[dict[str, Any]] = []

    def parts() -> Iterator[Samples]:
        for one in tell(talker, some, prompt, how, recognizer, kept):
            told.append(_row(one, talker.codec.sample_rate))
            if bar is not None:
                bar.update()
            yield one.samples
            yield np.zeros(round(one.piece.pause * talker.codec.sample_rate), np.float32)

    write_speech(path, parts(), talker.codec.sample_rate, note(talker))
    shutil.rmtree(own, ignore_errors=True)
    seconds = soundfile.info(str(path)).duration
    took = round(time.monotonic() - started, 3)
    about = {"file": str(path), "seconds": round(seconds, 3), "took": took, "seed": how.seed}
    by = {"model": talker.name, "sha256": talker.digest, "speed": how.speed}
    return {**about, **by, "pieces": told}


def note(talker: Talker) -> str:
    """What files say of themselves: that nobody said this."""
    return f"Synthetic speech, made with revoice {__version__}, model {talker.name}"


def _row(told: Told, rate: int) -> dict[str, Any]:
    row = {
        "text": told.piece.text,
        "seconds": round(len(told.samples) / rate, 3),
        "ended": told.ended,
        "attempts": told.attempts,
    }
    heard = {"heard": told.heard, "errors": told.errors, "words": told.words}
    return row | (heard if told.heard is not None else {})


def read_text(path: str | Path) -> str:
    """A text file in UTF-8; ValueError, which names it, for another one."""
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8: {error}. Save it as such.") from None
