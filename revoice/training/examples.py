"""Training examples: tokenized cuts with the codes of their recordings, shard by shard."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut


def attach_codes(cuts: Iterable[Cut], encoded: Mapping[str, Path]) -> Iterator[Cut]:
    """Each cut with the `codes` of its recording.

    Args:
        cuts: tokenized, those of one shard after another; `cut.shard` is `corpus/shard`.
        encoded: for each shard the manifest of its encoded cuts. One is in memory at a time.

    Raises:
        KeyError: a recording has no codes.
    """
    for shard, of_shard in groupby(cuts, key=lambda cut: cut.shard):
        codes = {cut.recording_id: cut.codes for cut in CutSet.from_jsonl_lazy(encoded[shard])}
        for cut in of_shard:
            cut.codes = codes[cut.recording_id]
            yield cut
