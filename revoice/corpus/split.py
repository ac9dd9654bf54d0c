"""Which split each recording is in: train, dev or test."""

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from revoice.config import CorpusConfig, Split, SplitConfig
from revoice.corpus.transcripts import Transcript


def text_key(text: str) -> str:
    """What makes two texts the same: their words, without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _position(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on the seed and the key alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big") / 2**64


def _shares(keys: Iterable[str], config: SplitConfig) -> Callable[[str], Split]:
    """Assign each key by its own hash, so that a key added or gone moves no other.

    Where no key falls into a split that should have some, the nearest one goes there.
    """
    in_test, nearest = False, list[tuple[float, str]]()  # the three nearest that are not in test
    for key in keys:
        found = _position(config.seed, key), key
        if found[0] < config.test:
            in_test = True
        elif (len(nearest) < 3 or found < nearest[-1]) and found not in nearest:
            nearest = sorted([*nearest, found])[:3]
    only_test = only_dev = None
    if not in_test and config.test and len(nearest) > 2:
        only_test = nearest.pop(0)[1]
    if config.dev and len(nearest) > 1 and nearest[0][0] >= config.test + config.dev:
        only_dev = nearest[0][1]

    def share(key: str) -> Split:
        position = _position(config.seed, key)
        if position < config.test or key == only_test:
            return "test"
        return "dev" if position < config.test + config.dev or key == only_dev else "train"

    return share


def split_of(
    said: Callable[[], Iterable[tuple[str, Transcript]]], corpus: CorpusConfig, config: SplitConfig
) -> Callable[[str, Transcript], Split | None]:
    """A function that says which split a file is in.

    It gives None where a file's text is in test and the file must not be in train.

    By text: every recording of a text is in the same split. By recording: a seeded share of the
    files. By speaker: whole speakers, those named or a seeded share. A LibriTTS subset with a split
    of its own goes there; of the subsets for train, a share of the texts becomes dev unless a
    subset is dev.

    Args:
        said: gives all files with what is said in them, and is asked several times: of a large
            corpus they are not to be in memory.
    """

    def key(path: str, of: Transcript) -> str:
        if config.by == "recording":
            return path
        by_speaker = config.by == "speaker" and not corpus.splits
        return of.speaker if by_speaker else text_key(of.text)

    named: dict[str, Split] = {}
    if corpus.splits:
        has_dev = "dev" in corpus.splits.values()
        config = config.model_copy(update={"test": 0.0, "dev": 0.0 if has_dev else config.dev})
    elif config.by == "speaker":
        named |= dict.fromkeys(config.dev_speakers, "dev")
        named |= dict.fromkeys(config.test_speakers, "test")
    share = _shares((key(*each) for each in said()), config)

    def split(path: str, transcript: Transcript) -> Split:
        if corpus.splits and (subset := corpus.splits.get(Path(path).parts[0])) not in (
            None,
            "train",
        ):
            return subset
        return named.get(transcript.speaker, "train") if named else share(key(path, transcript))

    held_out = set[bytes]()
    if corpus.splits or config.by not in {None, "text"}:  # by text none is in two splits
        held_out = {_digest(t.text) for path, t in said() if split(path, t) == "test"}

    def unless_held_out(path: str, transcript: Transcript) -> Split | None:
        found = split(path, transcript)
        if found == "train" and held_out and _digest(transcript.text) in held_out:
            return None
        return found

    return unless_held_out


def _digest(text: str) -> bytes:
    """What stands for a text where many are kept: 16 bytes."""
    return hashlib.sha256(text_key(text).encode()).digest()[:16]
