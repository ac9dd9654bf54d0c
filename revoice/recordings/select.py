"""Segments with all that is known of them: a row for each, and the cuts of those that are kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from lhotse import Recording, SupervisionSegment
from lhotse.cut import MonoCut

from revoice.config import CorpusConfig
from revoice.config_recordings import QualityConfig
from revoice.recordings.cuts import cut_of, segment_id
from revoice.recordings.judge import judge, letters
from revoice.recordings.labels import Label

MEASURED = ["confidence", "matched", "dnsmos", "snr", "clipping", "bandwidth", "rate"]
COLUMNS = ["id", "recording", "begin", "end", "text", "speaker", "language", "source", *MEASURED]
COLUMNS += ["status", "criterion", "reason", "audio"]
SHARED = 0.05  # seconds that a segment may share with one that was proofread
FOLDER = {None, "folder", "auto"}  # speakers that are not named


def rows_of(
    cuts: Iterable[MonoCut],
    heard: Iterable[SupervisionSegment],
    quality: pd.DataFrame,
    speakers: Mapping[str, str],
    paths: Mapping[str, str],
    corpus: CorpusConfig,
) -> Iterator[dict[str, Any]]:
    """What is known of each segment, in the columns that `judge` reads and `COLUMNS` names.

    Args:
        quality: what `assess` measured, in the cuts' order.
        speakers: by segment, who speaks, where speakers are told apart.
        paths: by recording id, the path of the original below the corpus's folder.
    """
    measured: list[dict[str, Any]] = quality.drop(columns="id").to_dict("records")  # type: ignore[assignment]
    for cut, said, numbers in zip(cuts, heard, measured, strict=True):
        path = paths[cut.recording_id]
        speaker = said.speaker or speakers.get(cut.id) or corpus.speaker
        if speaker in FOLDER:
            speaker = Path(path).parent.name or Path(str(corpus.path)).name
        yield {
            **dict.fromkeys(COLUMNS),
            **(said.custom or {}),
            **numbers,
            "id": cut.id,
            "recording": path,
            "begin": cut.start,
            "end": round(cut.end, 2),
            "text": " ".join((said.text or "").split()),
            "speaker": speaker,
            "language": said.language if "auto" in corpus.languages else corpus.languages[0],
            "rate": round(letters(said.text or "") / cut.duration, 2),
            "status": "",
            "audio": cut.recording.sources[0].source,
        }


def proofread(
    rows: Sequence[dict[str, Any]], labels: Sequence[Label], recording: Recording
) -> list[dict[str, Any]]:
    """Rows of one recording, in the place of some what people say of them, in the order of time.

    A label of a segment's own times says what is said in it. One of other times is a segment by
    itself, with nothing measured, and those that share its time go.
    """
    by_id = {row["id"]: row for row in rows}
    left = list(rows)
    for label in labels:
        name = segment_id(recording.id, label.begin, min(label.end, recording.duration))
        row = by_id.get(name)
        shared = [other for other in left if _shared(other, label) > SHARED]
        left = [other for other in left if other not in shared]
        if row is None:
            nearest = max(shared or rows, key=lambda other: _shared(other, label), default=None)
            row = _unmeasured(label, recording, nearest)
        given = {"text": label.text or row["text"], "speaker": label.speaker or row["speaker"]}
        length = row["end"] - row["begin"]
        given["rate"] = round(letters(given["text"]) / length, 2) if length > 0 else None
        left.append({**row, **given, "status": label.status, "source": "labels.tsv"})
    return sorted(left, key=lambda row: (row["begin"], row["end"]))


def _shared(row: Mapping[str, Any], label: Label) -> float:
    """Seconds that both take; below 0, what lies between them."""
    return float(min(row["end"], label.end) - max(row["begin"], label.begin))


def _unmeasured(
    label: Label, recording: Recording, nearest: Mapping[str, Any] | None
) -> dict[str, Any]:
    end = min(label.end, round(recording.duration, 2))
    known = {key: (nearest or {}).get(key) for key in ("speaker", "language")}
    return {
        **dict.fromkeys(COLUMNS),
        **known,
        "id": segment_id(recording.id, label.begin, end),
        "recording": label.recording,
        "begin": label.begin,
        "end": end,
        "text": "",
        "audio": recording.sources[0].source,
    }


def judged(
    rows: Iterable[dict[str, Any]], quality: QualityConfig, language: str | None
) -> list[dict[str, Any]]:
    """The rows with `criterion` and `reason` of those that are left out, "" of the others."""
    return [
        {**row, "criterion": criterion, "reason": reason}
        for row in rows
        for criterion, reason in [judge(row, quality, language)]
    ]


def kept_cuts(
    rows: Iterable[Mapping[str, Any]], recordings: Mapping[str, Recording], shard: str
) -> Iterator[MonoCut]:
    """A cut with its supervision for each row that nothing is held against.

    `recordings`: by the path of the original.
    """
    for row in rows:
        if row["criterion"]:
            continue
        recording = recordings[row["recording"]]
        cut = cut_of(recording, row["begin"], row["end"], shard)
        about = {key: row[key] for key in ("text", "speaker", "language")}
        cut.supervisions = [SupervisionSegment(cut.id, recording.id, 0.0, cut.duration, **about)]
        yield cut
