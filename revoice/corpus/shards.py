"""Files of shards that a corpus no longer has: it was halved further, or parts of it joined."""

import logging
import re
import shutil
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger(__name__)

MADE = "audio segments heard quality kept".split()  # folders with a file for each shard
SHARD = re.compile(r"(s[01]*)(\.csv|\.h5|\.jsonl\.gz|\.npy)?")


def remove_gone(corpus: str | Path, shards: Collection[str]) -> list[Path]:
    """Remove all that was made of other shards than these from `results/corpora/{corpus}`.

    To be called when manifests name these alone. Gives what was removed.
    """
    removed = []
    for folder in (*(Path(corpus) / name for name in MADE), *sorted(Path(corpus).glob("codes/*/"))):
        for path in sorted(folder.glob("s*")):
            named = SHARD.fullmatch(path.name)
            if named and named[1] not in shards:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(path)
    if removed:
        log.info("removed %d files and folders of shards that are gone", len(removed))
    return removed
