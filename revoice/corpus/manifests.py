"""Lhotse manifests of a corpus: recordings, supervisions, and cuts split into train, dev, test."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet, validate
from lhotse.cut import MonoCut
from lhotse.qa import validate_recordings_and_supervisions

from revoice.config import SPLITS, CorpusConfig, Split, SplitConfig
from revoice.corpus.files import Files, usable_by_id
from revoice.corpus.ondisk import OnDisk
from revoice.corpus.split import split_of
from revoice.corpus.transcripts import Transcript, transcripts
from revoice.files import atomic, scratch

HELD_OUT = "its text is in the test split, and must not be trained on"


def write_manifests(
    name: str,
    corpus: CorpusConfig,
    config: SplitConfig,
    shards: dict[str, tuple[Path, Path]],
    folder: Path,
    strict: bool = False,
) -> None:
    """Write `recordings`, `supervisions`, `cuts_train`, `cuts_dev`, `cuts_test` (`.jsonl.gz`).

    One cut per recording, in the order of the shards; `cut.shard` says which holds its codes.
    Every shard's manifests are validated by Lhotse before they are written. `shards` has for each
    its `RecordingSet` file and the table of its files. Beside the manifests are written
    `files.csv`, with a row for each file, and `rejected.csv`, with those left out and why.

    A shard is in memory at a time: what is known of files and said in them lies on disk.

    Raises ValueError where nothing is left; or with `strict`, where a transcript is missing.
    """
    with ExitStack() as stack:
        work = stack.enter_context(scratch(folder, "manifests"))
        said = Said(stack.enter_context(OnDisk(work / "said")))
        files = Files(stack.enter_context(OnDisk(work / "files")))
        for _, table in shards.values():
            files.add(table)
        for path, found in transcripts(corpus, files.usable()):
            said.add(path, found)
        if strict and said.missing:
            path, reason = next(said.without())
            raise ValueError(
                f"corpora.{name}: {said.missing} recordings have no usable transcript, first "
                f"{path}: {reason}. Add it, or set audio.strict: false to leave them out."
            )
        if not said.spoken:
            reasons = "".join(f"\n  {path} {why}" for path, why in islice(said.without(), 10))
            raise ValueError(
                f"corpora.{name}: no recording with a transcript is left. Why files were "
                f"rejected is in {folder / 'audio'}/*.csv{', and:' if reasons else '.'}{reasons}"
            )
        split = split_of(said.items, corpus, config)
        _write_cuts(name, shards, said, split, folder)

        def why(path: str) -> str | None:
            found = said[path]
            if isinstance(found, str):
                return found
            return None if split(path, found) else HELD_OUT

        files.write(why, folder / "files.csv", folder / "rejected.csv")


class Said:
    """What is said in each file, or why it has no transcript, by path; on disk."""

    def __init__(self, rows: OnDisk) -> None:
        self._rows = rows
        self.spoken = self.missing = 0

    def add(self, path: str, found: Transcript | str) -> None:
        self._rows[path] = found
        self.missing += isinstance(found, str)
        self.spoken += not isinstance(found, str)

    def __getitem__(self, path: str) -> Transcript | str:
        found = self._rows[path]
        return found if isinstance(found, str) else Transcript(*found)

    def items(self) -> Iterator[tuple[str, Transcript]]:
        return (
            (path, Transcript(*found))
            for path, found in self._rows.items()
            if not isinstance(found, str)
        )

    def without(self) -> Iterator[tuple[str, str]]:
        """Path and reason of each file that has no transcript."""
        return ((path, found) for path, found in self._rows.items() if isinstance(found, str))


def _write_cuts(
    name: str,
    shards: dict[str, tuple[Path, Path]],
    said: Said,
    split_of: Callable[[str, Transcript], Split | None],
    folder: Path,
) -> None:
    counts = dict.fromkeys(SPLITS, 0)
    with ExitStack() as stack:

        def writer(kind: Any, file: str) -> Any:
            target = stack.enter_context(atomic(folder / f"{file}.jsonl.gz"))
            return stack.enter_context(kind.open_writer(target))

        recordings = writer(RecordingSet, "recordings")
        supervisions = writer(SupervisionSet, "supervisions")
        cuts = {split: writer(CutSet, f"cuts_{split}") for split in SPLITS}
        for shard, (file, table) in sorted(shards.items()):
            spoken, splits = [], list[Split]()
            by_id = usable_by_id(table)
            for recording in RecordingSet.from_jsonl_lazy(file):
                path = by_id[recording.id]
                found = said[path]
                if isinstance(found, Transcript) and (split := split_of(path, found)):
                    spoken.append((recording, found))
                    splits.append(split)
            for cut, split in zip(_cuts(f"{name}/{shard}", spoken), splits, strict=True):
                recordings.write(cut.recording)
                supervisions.write(cut.supervisions[0])
                cuts[split].write(cut)
                counts[split] += 1
    for split, count in counts.items():
        logging.info("%s: %d cuts", split, count)


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
