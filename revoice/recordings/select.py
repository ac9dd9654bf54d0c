"""Segments with all that is known of them: a row for each, and the cuts of those that are kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from lhotse import Recording, SupervisionSegment
from lhotse.cut import MonoCut

from revoice.config import CorpusConfig
from revoice.config_recordings import QualityConfig
from revoice.recordings.cuts import cut_of, hundredths, last, segment_id
from revoice.recordings.judge import judge, letters
from revoice.recordings.labels import Label

MEASURED = ["confidence", "matched", "dnsmos", "snr", "clipping", "bandwidth", "rate"]
COLUMNS = ["id", "recording", "begin", "end", "text", "speaker", "language", "source", *MEASURED]
COLUMNS += ["status", "labelled", "criterion", "reason", "audio"]
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
        yield {
            **dict.fromkeys(COLUMNS),
            **(said.custom or {}),
            **numbers,
            "id": cut.id,
            "recording": path,
            "begin": cut.start,
            "end": hundredths(cut.end) / 100,
            "text": " ".join((said.text or "").split()),
            "speaker": said.speaker or speakers.get(cut.id) or speaker_of(path, corpus),
            "language": said.language if "auto" in corpus.languages else corpus.languages[0],
            "rate": round(letters(said.text or "") / cut.duration, 2),
            "status": "",
            "labelled": "",
            "audio": cut.recording.sources[0].source,
        }


def speaker_of(path: str, corpus: CorpusConfig) -> str:
    """Who speaks in a recording as the configuration has it: by name, or by the folder's."""
    if corpus.speaker not in FOLDER:
        return str(corpus.speaker)
    return (Path(str(corpus.path)) / path).absolute().parent.name


def proofread(
    rows: Sequence[dict[str, Any]],
    labels: Sequence[Label],
    recording: Recording,
    corpus: CorpusConfig,
) -> list[dict[str, Any]]:
    """Rows of one recording with what people say of them, in the order of time.

    A label of a segment's own times says what is said in it. One of other times is a segment by
    itself, with nothing measured; those that were found in its time get the status `replaced`.
    """
    found = {row["id"]: row for row in rows}
    given = []
    for label in labels:
        begin, end = hundredths(label.begin) / 100, hundredths(label.end) / 100
        end = max(min(end, last(recording)), begin)
        row = found.pop(segment_id(recording.id, begin, end), None)
        row = row or _unmeasured(label.recording, begin, end, rows, recording, corpus)
        text, length = label.text or row["text"], end - begin
        about = {"speaker": label.speaker or row["speaker"], "labelled": label.speaker}
        about |= {"text": text, "status": label.status, "source": "labels.tsv"}
        rate = round(letters(text) / length, 2) if length else None
        given.append({**row, **about, "rate": rate})
    kept = [
        {**row, "status": "replaced"} if any(_shared(row, one) > SHARED for one in given) else row
        for row in found.values()
    ]
    return sorted([*kept, *given], key=lambda row: (row["begin"], row["end"]))


def _shared(row: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Seconds that both take; below 0, what lies between them."""
    return float(min(row["end"], other["end"]) - max(row["begin"], other["begin"]))


def _unmeasured(
    path: str,
    begin: float,
    end: float,
    rows: Sequence[Mapping[str, Any]],
    recording: Recording,
    corpus: CorpusConfig,
) -> dict[str, Any]:
    """What is known of a segment that was not found: as those near it, or as is configured."""
    times = {"begin": begin, "end": end}
    near: Mapping[str, Any] = max(rows, key=lambda row: _shared(row, times), default={})
    language = None if "auto" in corpus.languages else corpus.languages[0]
    return {
        **dict.fromkeys(COLUMNS),
        **times,
        "id": segment_id(recording.id, begin, end),
        "recording": path,
        "text": "",
        "speaker": near.get("speaker") or speaker_of(path, corpus),
        "language": near.get("language") or language,
        "audio": recording.sources[0].source,
    }


def uncovered(left_out: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Of what is no segment, what people have not made one of."""
    given = [row for row in rows if row["status"] in {"ok", "bad"}]
    left: list[dict[str, Any]] = left_out.to_dict("records")  # type: ignore[assignment]
    kept = [
        not any(row["recording"] == one["recording"] and _shared(row, one) > 0 for one in given)
        for row in left
    ]
    return left_out[kept]


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
