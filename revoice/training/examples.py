"""Training examples: tokenized cuts with the codes of their recordings, shard by shard."""

import gzip
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut

from revoice.codec.identity import codec_of_codes, identity
from revoice.text import Tokenizer
from revoice.text.cuts import check_tokens

log = logging.getLogger(__name__)


def attach_codes(
    cuts: Iterable[Cut], encoded: Mapping[str, Path], codec: Mapping[str, Any], tokenizer: Tokenizer
) -> Iterator[Cut]:
    """Each cut, tokenized with `tokenizer`, with the `codes` of its recording and their digest.

    The cuts of one shard come after another; `encoded` has for each `cut.shard`, `corpus/shard`,
    the manifest of its encoded cuts, of which one is in memory at a time. Raises KeyError where a
    recording has no codes, ValueError for codes of another codec or tokens of another tokenizer.
    """
    for shard, of_shard in groupby(cuts, key=lambda cut: cut.shard):
        codes = {
            cut.recording_id: (cut.codes, cut.codes_digest)
            for cut in CutSet.from_jsonl_lazy(encoded[shard])
        }
        for number, cut in enumerate(of_shard):
            cut.codes, cut.codes_digest = codes[cut.recording_id]
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


def digest_cuts(path: str | Path) -> str:
    """Digest of a manifest of cuts, which hold digests of their codes.

    The manifest's own compression does not count: gzip stores the time.
    """
    with gzip.open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
