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
    ordered = sorted(set(keys), key=lambda key: _position(config.seed, key))
    test = {k for k in ordered if _position(config.seed, k) < config.test}
    if not test and config.test and len(ordered) > 2:
        test = {ordered[0]}
    rest = [k for k in ordered if k not in test]
    dev = {k for k in rest if _position(config.seed, k) < config.test + config.dev}
    if not dev and config.dev and len(rest) > 1:
        dev = {rest[0]}
    return lambda key: "test" if key in test else "dev" if key in dev else "train"


def split_of(
    said: dict[str, Transcript], corpus: CorpusConfig, config: SplitConfig
) -> dict[str, Split | None]:
    """Which split each file is in. None: its text is in test and must not be in train.

    By text: every recording of a text is in the same split. By speaker: whole speakers, those
    named or a seeded share. A LibriTTS subset with a split of its own goes there; of the
    subsets for train, a share of the texts becomes dev unless a subset is dev.
    """
    texts = {path: text_key(transcript.text) for path, transcript in said.items()}
    if corpus.splits:
        has_dev = "dev" in corpus.splits.values()
        only_dev = config.model_copy(update={"test": 0.0, "dev": 0.0 if has_dev else config.dev})
        share = _shares(texts.values(), only_dev)
        splits = {path: corpus.splits.get(Path(path).parts[0], "train") for path in said}
        splits |= {path: share(texts[path]) for path, split in splits.items() if split == "train"}
    elif config.by == "speaker":
        named: dict[str, Split] = dict.fromkeys(config.dev_speakers, "dev")
        named |= dict.fromkeys(config.test_speakers, "test")
        speakers = {path: transcript.speaker for path, transcript in said.items()}
        share = _shares(speakers.values(), config)
        splits = {p: named.get(s, "train") if named else share(s) for p, s in speakers.items()}
    else:
        share = _shares(texts.values(), config)
        splits = {path: share(text) for path, text in texts.items()}
    held_out = {texts[path] for path, split in splits.items() if split == "test"}
    return {
        path: None if split == "train" and texts[path] in held_out else split
        for path, split in splits.items()
    }
