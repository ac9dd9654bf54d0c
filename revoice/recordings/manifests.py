"""Manifests of the segments that are kept, split so that whole recordings stay together."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from lhotse import CutSet
from lhotse.cut import MonoCut

from revoice.config import CorpusConfig, Split, SplitConfig
from revoice.corpus.files import Files, usable_by_id
from revoice.corpus.manifests import HELD_OUT, write_splits
from revoice.corpus.ondisk import OnDisk
from revoice.corpus.split import split_of
from revoice.corpus.transcripts import Transcript
from revoice.files import TEXTS, atomic, scratch
from revoice.recordings.judge import hours
from revoice.recordings.labels import Label

log = logging.getLogger(__name__)

FEW = 3  # recordings: fewer than these are parted themselves
STRETCHES = 20  # of all recordings together, if they are few
SHORTEST_STRETCH = 30.0  # seconds
TEXT_COLUMNS = (
    "id recording text speaker language source status labelled criterion reason audio".split()
)


class Kept(NamedTuple):
    """What is left of a shard: its cuts, the table of all its segments, and that of its files."""

    cuts: Path
    segments: Path
    files: Path


def read_segments(path: str | Path) -> pd.DataFrame:
    """A table of segments; texts that are not there are "", numbers NaN."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), **TEXTS)
    texts = [column for column in TEXT_COLUMNS if column in table]
    return table.fillna(dict.fromkeys(texts, ""))


def _elsewhere(labels: Sequence[Label], paths: set[str]) -> pd.DataFrame:
    """Rows of labels whose recordings are not among these."""
    reason = "labels.tsv names a recording that is not here, or was rejected"
    rows = [
        {**label._asdict(), "labelled": label.speaker, "criterion": "labels", "reason": reason}
        for label in labels
        if label.recording not in paths
    ]
    for path in {row["recording"] for row in rows}:
        log.warning("labels.tsv: there is no recording %s", path)
    columns = [*Label._fields, "id", "labelled", "criterion", "reason", "audio"]
    return pd.DataFrame(rows, columns=columns).fillna("")


def write_kept(
    corpus: CorpusConfig,
    config: SplitConfig,
    shards: Mapping[str, Kept],
    labels: Sequence[Label],
    folder: Path,
) -> None:
    """Write the manifests of `write_splits`, and what became of all files and segments.

    These are `segments.csv`, with a row for each segment, its split or why it is left out,
    `hours.csv`, what is kept and lost by criterion, `files.csv` and `rejected.csv`.

    Recordings are in one split as a whole (`split.by` null or `recording`); of fewer than three,
    stretches are. Of `labels`, those of no recording that is here are rows of `segments.csv`, too.
    `check_kept` has said that something is left.
    """
    config = config.model_copy(update={"by": config.by or "recording"})
    tables = {shard: read_segments(kept.segments) for shard, kept in sorted(shards.items())}
    paths = {i: p for kept in shards.values() for i, p in usable_by_id(kept.files).items()}
    everything = pd.concat([*tables.values(), _elsewhere(labels, set(paths.values()))])
    everything = everything.reset_index(drop=True)
    cuts = partial(_cuts, shards)
    unit = _units(cuts, paths)

    def said() -> Iterator[tuple[str, Transcript]]:
        return ((unit(cut), _transcript(cut)) for of_shard in cuts() for cut in of_shard)

    split = split_of(said, corpus, config)
    splits: dict[str, Split | None] = {}

    def with_splits() -> Iterator[list[tuple[MonoCut, Split]]]:
        for of_shard in cuts():
            chosen = [(cut, split(unit(cut), _transcript(cut))) for cut in of_shard]
            splits.update({cut.id: found for cut, found in chosen})
            yield [(cut, found) for cut, found in chosen if found]

    write_splits(with_splits(), folder)
    everything["split"] = everything["id"].map(splits).fillna("")
    held = (everything["criterion"] == "") & (everything["split"] == "")
    everything.loc[held, ["criterion", "reason"]] = ["held out", HELD_OUT]
    with atomic(folder / "segments.csv") as temporary:
        everything.to_csv(temporary, index=False)
    with atomic(folder / "hours.csv") as temporary:
        hours(everything).to_csv(temporary, index=False)
    _write_files(shards, everything, folder)


def _cuts(shards: Mapping[str, Kept]) -> Iterator[list[MonoCut]]:
    return (list(CutSet.from_jsonl_lazy(kept.cuts)) for _, kept in sorted(shards.items()))


def _transcript(cut: MonoCut) -> Transcript:
    said = cut.supervisions[0]
    return Transcript(str(said.text), str(said.speaker), str(said.language))


def _units(
    cuts: Callable[[], Iterator[list[MonoCut]]], paths: Mapping[str, str]
) -> Callable[[MonoCut], str]:
    """What of a corpus is in one split as a whole: a recording, or a stretch of one of a few."""
    lasting = {cut.recording_id: cut.recording.duration for part in cuts() for cut in part}
    stretch = max(sum(lasting.values()) / STRETCHES, SHORTEST_STRETCH)

    def unit(cut: MonoCut) -> str:
        path = paths[cut.recording_id]
        return path if len(lasting) >= FEW else f"{path}#{int(cut.start // stretch)}"

    return unit


def check_kept(name: str, cuts: Sequence[Path], tables: Sequence[Path]) -> None:
    """Raise ValueError, with the commonest reason, where no segment of any shard is kept."""
    if any(True for path in cuts for _ in CutSet.from_jsonl_lazy(path)):
        return
    segments = pd.concat([read_segments(path) for path in tables], ignore_index=True)
    if not len(segments):
        raise ValueError(
            f"corpora.{name}: there is nothing to take segments of. Why files were rejected is in "
            f"results/corpora/{name}/audio/*.csv."
        )
    most = hours(segments).iloc[1]
    example = segments[segments["criterion"] == most["criterion"]].iloc[0]
    raise ValueError(
        f"corpora.{name}: none of {len(segments)} segments is left. {most['segments']} are left "
        f"out for one reason, first {example['recording']} at {example['begin']:g} s: "
        f"{example['reason']}. All are in results/corpora/{name}/kept/*.csv; thresholds are keys "
        "of recordings.quality."
    )


def _write_files(shards: Mapping[str, Kept], segments: pd.DataFrame, folder: Path) -> None:
    """The tables of files; one of which nothing is kept says what it was left out for."""
    reasons = {}
    for path, of_it in segments.groupby("recording"):
        if (of_it["criterion"] == "").any():
            continue
        most, count = Counter(of_it["criterion"]).most_common(1)[0]
        example = of_it[of_it["criterion"] == most].iloc[0]["reason"]
        several = f"none of its {len(of_it)} segments is kept; {count} by {most}, such as: "
        reasons[path] = example if len(of_it) == 1 else several + example
    with ExitStack() as stack:
        work = stack.enter_context(scratch(folder, "files"))
        files = Files(stack.enter_context(OnDisk(work / "files")))
        for kept in shards.values():
            files.add(kept.files)
        files.write(reasons.get, folder / "files.csv", folder / "rejected.csv")
