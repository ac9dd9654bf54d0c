"""Lhotse manifests of a corpus: recordings, supervisions, and cuts split into train, dev, test."""

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet, validate
from lhotse.cut import MonoCut
from lhotse.qa import validate_recordings_and_supervisions

from revoice.config import SPLITS, CorpusConfig, SplitConfig
from revoice.corpus.split import split_of
from revoice.corpus.transcripts import Transcript, transcripts
from revoice.files import atomic


@dataclass(frozen=True)
class Rejected:
    """A file that does not come through, and why."""

    path: str
    reason: str


def write_manifests(
    name: str,
    corpus: CorpusConfig,
    config: SplitConfig,
    shards: dict[str, tuple[Path, dict[str, str]]],
    folder: Path,
    strict: bool = False,
) -> list[Rejected]:
    """Write `recordings`, `supervisions`, `cuts_train`, `cuts_dev`, `cuts_test` (`.jsonl.gz`).

    One cut per recording, in the order of the shards; `cut.shard` says which holds its codes.
    Every shard's manifests are validated by Lhotse before they are written. `shards` has for each
    its `RecordingSet` file and the paths by recording id. Returns what was left out for its
    transcript.

    Raises ValueError where nothing is left; or with `strict`, where a transcript is missing.
    """
    paths = [path for _, by_id in shards.values() for path in by_id.values()]
    found = transcripts(corpus, paths)
    said = {path: t for path, t in found.items() if isinstance(t, Transcript)}
    rejected = [Rejected(path, t) for path, t in found.items() if not isinstance(t, Transcript)]
    if strict and rejected:
        first = rejected[0]
        raise ValueError(
            f"corpora.{name}: {len(rejected)} recordings have no usable transcript, first "
            f"{first.path}: {first.reason}. Add it, or set audio.strict: false to leave them out."
        )
    splits = split_of(said, corpus, config)
    usable = {path: split for path, split in splits.items() if split}
    rejected += [
        Rejected(path, "its text is in the test split, and must not be trained on")
        for path in splits
        if path not in usable
    ]
    counts = dict.fromkeys(SPLITS, 0)
    with ExitStack() as stack:

        def writer(kind: Any, file: str) -> Any:
            target = stack.enter_context(atomic(folder / f"{file}.jsonl.gz"))
            return stack.enter_context(kind.open_writer(target))

        recordings = writer(RecordingSet, "recordings")
        supervisions = writer(SupervisionSet, "supervisions")
        cuts = {split: writer(CutSet, f"cuts_{split}") for split in SPLITS}
        for shard, (file, by_id) in sorted(shards.items()):
            kept = [r for r in RecordingSet.from_jsonl_lazy(file) if by_id[r.id] in usable]
            for cut in _cuts(f"{name}/{shard}", ((r, said[by_id[r.id]]) for r in kept)):
                split = usable[by_id[cut.id]]
                recordings.write(cut.recording)
                supervisions.write(cut.supervisions[0])
                cuts[split].write(cut)
                counts[split] += 1
        if not any(counts.values()):
            reasons = "".join(f"\n  {row.path} {row.reason}" for row in rejected[:10])
            raise ValueError(
                f"corpora.{name}: no recording with a transcript is left. Why files were "
                f"rejected is in {folder / 'audio'}/*.csv{', and:' if reasons else '.'}{reasons}"
            )
    for split, count in counts.items():
        logging.info("%s: %d cuts", split, count)
    return rejected


def _cuts(shard: str, spoken: Iterable[tuple[Recording, Transcript]]) -> list[MonoCut]:
    """A cut of each recording with its supervision, validated together."""
    cuts = []
    for recording, transcript in spoken:
        cut = recording.to_cut()
        about = {"duration": recording.duration, **transcript._asdict()}
        cut.supervisions = [SupervisionSegment(recording.id, recording.id, 0.0, **about)]
        cut.custom = {"shard": shard}
        cuts.append(cut)
    if cuts:
        validate_recordings_and_supervisions(
            RecordingSet.from_recordings(cut.recording for cut in cuts),
            SupervisionSet.from_segments(cut.supervisions[0] for cut in cuts),
        )
        validate(CutSet.from_cuts(cuts))
    return cuts
