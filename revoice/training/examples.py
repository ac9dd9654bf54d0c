"""Training examples: tokenized cuts with the codes of their recordings, shard by shard."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut

from revoice.codec import codec_of_codes, identity
from revoice.config import LimitsConfig
from revoice.text import Tokenizer
from revoice.text.cuts import check_tokens

log = logging.getLogger(__name__)


def attach_codes(
    cuts: Iterable[Cut],
    encoded: Mapping[str, Path],
    codec: Mapping[str, Any],
    tokenizer: Tokenizer,
) -> Iterator[Cut]:
    """Each cut with the `codes` of its recording.

    Args:
        cuts: tokenized, those of one shard after another; `cut.shard` is `corpus/shard`.
        encoded: for each shard the manifest of its encoded cuts. One is in memory at a time.
        codec: the codec.json that the codes have to be of; `tokenizer` made the tokens.

    Raises:
        KeyError: a recording has no codes.
        ValueError: a shard's codes are another codec's, or its tokens another tokenizer's.
    """
    for shard, of_shard in groupby(cuts, key=lambda cut: cut.shard):
        codes = {cut.recording_id: cut.codes for cut in CutSet.from_jsonl_lazy(encoded[shard])}
        for number, cut in enumerate(of_shard):
            cut.codes = codes[cut.recording_id]
            if not number:
                check_codes(cut.codes.array.storage_path, codec)
                check_tokens(cut, tokenizer)
            yield cut


def check_codes(path: str | Path, codec: Mapping[str, Any]) -> None:
    """Raise ValueError where a file's codes are of another codec than `codec`, a codec.json.

    Those of an earlier version, which name none, are accepted with a warning.
    """
    stored, expected = codec_of_codes(path), identity(codec)
    if stored is None:
        log.warning("%s does not say which codec its codes are of", path)
    elif stored != expected:
        raise ValueError(
            f"{path} holds codes of the codec {stored}, but the experiment's is {expected}: "
            "the same code would mean another sound. Remove the file, and run again."
        )


def exclusion_reason(cut: Cut, limits: LimitsConfig) -> str | None:
    """Why a cut is no good for training, or None."""
    symbols, frames = len(cut.supervisions[0].tokens), cut.codes.shape[0]
    if cut.duration < limits.min_seconds:
        return f"shorter than {limits.min_seconds:g} s"
    if cut.duration > limits.max_seconds:
        return f"longer than {limits.max_seconds:g} s"
    if not symbols:
        return "no text symbols"
    if frames < limits.min_frames_per_symbol * symbols:
        return f"fewer than {limits.min_frames_per_symbol:g} frames per text symbol"
    if frames > limits.max_frames_per_symbol * symbols:
        return f"more than {limits.max_frames_per_symbol:g} frames per text symbol"
    return None


def excluded_row(cut: Cut, reason: str) -> dict[str, Any]:
    """A row of the list of cuts that were left out: id, seconds, symbols, frames, reason."""
    return {
        "id": cut.id,
        "seconds": round(cut.duration, 3),
        "symbols": len(cut.supervisions[0].tokens),
        "frames": cut.codes.shape[0],
        "reason": reason,
    }
