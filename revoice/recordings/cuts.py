"""Segments of recordings as cuts: found by voice detection, or as a subtitle file has them."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut

from revoice.config_recordings import RecordingsConfig
from revoice.files import TEXTS
from revoice.recordings.segments import Pauses, find_segments
from revoice.recordings.subtitles import (
    Line,
    read_subtitles,
    sentences,
    subtitles_beside,
    within,
)

log = logging.getLogger(__name__)

COLUMNS = "recording begin end text criterion reason audio".split()  # of what is left out
IN_TURN = 0.3  # seconds after which another one may be speaking


def hundredths(seconds: float) -> int:
    """The time of a segment in hundredths of a second: whole samples, and what people can write."""
    return math.floor(100 * seconds + 0.5)


def segment_id(recording_id: str, begin: float, end: float) -> str:
    """What a segment is called: its recording, and its times in hundredths of a second."""
    return f"{recording_id}-{hundredths(begin):07d}-{hundredths(end):07d}"


def last(recording: Recording) -> float:
    """The last hundredth of a second that a recording has."""
    return math.floor(100 * recording.duration + 1e-6) / 100


def cut_of(recording: Recording, begin: float, end: float, shard: str) -> MonoCut:
    """A segment of a recording, from begin to end in seconds, without a supervision."""
    begin, end = hundredths(begin) / 100, min(hundredths(end) / 100, last(recording))
    name, length = segment_id(recording.id, begin, end), round(end - begin, 2)
    return MonoCut(name, begin, length, 0, recording=recording, custom={"shard": shard})


def segment(
    recordings: Sequence[Recording],
    paths: Mapping[str, str],
    root: Path,
    shard: str,
    config: RecordingsConfig,
    in_turn: bool = False,
    num_jobs: int = 1,
) -> tuple[CutSet, pd.DataFrame]:
    """Segments of each recording in the order of their times, and what is none, with the reason.

    Where a subtitle file lies beside a recording, it says where they are; such a cut has a
    supervision with its text, and the speaker where the file names one.

    Args:
        paths: by recording id, the path of the original below `root`.
        shard: `corpus/shard`, which becomes `cut.shard`.
        in_turn: several may speak: a pause in which the next may begin is not bridged.
        num_jobs: processes, each of which looks at a recording at a time, in bounded memory.

    Raises ValueError, naming the file, for subtitles that cannot be read.
    """
    pauses = Pauses(config.min_seconds, config.max_seconds, config.pause)
    if in_turn:
        pauses = replace(pauses, join=IN_TURN)
    found = Parallel(n_jobs=num_jobs)(
        delayed(_of_recording)(recording, root / paths[recording.id], shard, config, pauses)
        for recording in recordings
    )
    cuts = [cut for of_recording, _ in found for cut in of_recording]
    rows = [
        {"recording": paths[recording.id], "audio": recording.sources[0].source, **row}
        for recording, (_, left) in zip(recordings, found, strict=True)
        for row in left
    ]
    log.info("%d segments, %.1f minutes", len(cuts), sum(cut.duration for cut in cuts) / 60)
    return CutSet.from_cuts(cuts), pd.DataFrame(rows, columns=COLUMNS)


def read_left_out(path: str | Path) -> pd.DataFrame:
    """The table of what is no segment, as `segment` gives it."""
    texts = dict.fromkeys(("recording", "text", "criterion", "reason", "audio"), str)
    return pd.read_csv(path, dtype=texts, **TEXTS).fillna(dict.fromkeys(texts, ""))


Found = tuple[list[MonoCut], list[dict[str, object]]]  # cuts, and rows of what is left out


def _of_recording(
    recording: Recording, path: Path, shard: str, config: RecordingsConfig, pauses: Pauses
) -> Found:
    if beside := subtitles_beside(path):
        return _of_subtitles(recording, read_subtitles(beside), shard, config)
    spans = find_segments(Path(str(recording.sources[0].source)), pauses)
    if spans:
        return [cut_of(recording, *span, shard) for span in spans], []
    reason = f"no speech of {config.min_seconds:g} s or more was found in it"
    return [], [_row(0.0, recording.duration, "", "speech", reason)]


def _of_subtitles(
    recording: Recording, lines: Sequence[Line], shard: str, config: RecordingsConfig
) -> Found:
    good, bad = within(lines, recording.duration)
    cuts, left = [], [_row(line.begin, line.end, line.text, "subtitles", why) for line, why in bad]
    for line in sentences(good, config.max_seconds):
        length = line.end - line.begin
        if config.min_seconds <= length <= config.max_seconds:
            cut = cut_of(recording, line.begin, line.end, shard)
            about = {"text": line.text, "speaker": line.speaker or None}
            said = SupervisionSegment(cut.id, recording.id, 0.0, cut.duration, **about)
            cut.supervisions = [said]
            cuts.append(cut)
            continue
        short = length < config.min_seconds
        key, limit = ("min", config.min_seconds) if short else ("max", config.max_seconds)
        reason = f"lasts {length:.2f} s, recordings.{key}_seconds is {limit:g}"
        left.append(_row(line.begin, line.end, line.text, "length", reason))
    if not cuts and not left:
        reason = "its subtitles have nothing that is said"
        left.append(_row(0.0, recording.duration, "", "subtitles", reason))
    return cuts, left


def _row(begin: float, end: float, text: str, criterion: str, reason: str) -> dict[str, object]:
    """What is left out of a recording, and why."""
    times = {"begin": hundredths(begin) / 100, "end": hundredths(end) / 100}
    return {**times, "text": text, "criterion": criterion, "reason": reason}
