"""Lhotse manifests of a corpus: recordings, supervisions, and cuts split into train, dev, test."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from lhotse import CutSet, RecordingSet, SupervisionSegment, SupervisionSet, validate
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
        write_splits(_cuts_of_shards(name, shards, said, split), folder)

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


def write_splits(shards: Iterable[Sequence[tuple[MonoCut, Split]]], folder: Path) -> None:
    """Write the manifests of cuts, each with its supervision, of shard after shard.

    They are `recordings`, `supervisions`, `cuts_train`, `cuts_dev`, `cuts_test` (`.jsonl.gz`).
    Cuts of one recording follow one another. Each shard's are validated by Lhotse.
    """
    counts, last = dict.fromkeys(SPLITS, 0), None
    with ExitStack() as stack:

        def writer(kind: Any, file: str) -> Any:
            target = stack.enter_context(atomic(folder / f"{file}.jsonl.gz"))
            return stack.enter_context(kind.open_writer(target))

        recordings = writer(RecordingSet, "recordings")
        supervisions = writer(SupervisionSet, "supervisions")
        cuts = {split: writer(CutSet, f"cuts_{split}") for split in SPLITS}
        for shard in shards:
            _validate([cut for cut, _ in shard])
            for cut, split in shard:
                if cut.recording_id != last:
                    recordings.write(cut.recording)
                last = cut.recording_id
                supervisions.write(_in_recording(cut))
                cuts[split].write(cut)
                counts[split] += 1
    for split, count in counts.items():
        logging.info("%s: %d cuts", split, count)


def _cuts_of_shards(
    name: str,
    shards: dict[str, tuple[Path, Path]],
    said: Said,
    split_of: Callable[[str, Transcript], Split | None],
) -> Iterator[list[tuple[MonoCut, Split]]]:
    """Of each shard, a cut of each recording with its supervision."""
    for shard, (file, table) in sorted(shards.items()):
        cuts = []
        by_id = usable_by_id(table)
        for recording in RecordingSet.from_jsonl_lazy(file):
            path = by_id[recording.id]
            found = said[path]
            if isinstance(found, Transcript) and (split := split_of(path, found)):
                cut = recording.to_cut()
                about = {"duration": recording.duration, **found._asdict()}
                cut.supervisions = [SupervisionSegment(recording.id, recording.id, 0.0, **about)]
                cut.custom = {"shard": f"{name}/{shard}"}
                cuts.append((cut, split))
        yield cuts


def _in_recording(cut: MonoCut) -> SupervisionSegment:
    """A cut's supervision, which tells time from the cut's begin, by the recording's time."""
    return cut.supervisions[0].with_offset(cut.start)


def _validate(cuts: Sequence[MonoCut]) -> None:
    if cuts:
        recordings = {cut.recording_id: cut.recording for cut in cuts}
        validate_recordings_and_supervisions(
            RecordingSet.from_recordings(recordings.values()),
            SupervisionSet.from_segments(map(_in_recording, cuts)),
        )
        validate(CutSet.from_cuts(cuts))
