"""Manifests of segments: which splits they are in, and tables of what was left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet

from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.audio import Source
from revoice.corpus.manifests import HELD_OUT
from revoice.recordings.cuts import cut_of
from revoice.recordings.labels import Label
from revoice.recordings.manifests import Kept, check_kept, read_segments, write_kept
from revoice.recordings.select import COLUMNS

CORPUS = CorpusConfig(kind="recordings", path="recordings")


def shard(
    folder: Path, names: list[str], segments: int = 4, seconds: float = 40, same: str | None = None
) -> Kept:
    """Recordings with so many segments each, evenly spread; one more of each is left out."""
    rows, cuts, files = [], [], []
    for name in names:
        wav = folder / f"{name}.wav"
        soundfile.write(wav, np.zeros(int(24000 * seconds)), 24000)
        recording = Recording.from_file(wav, recording_id=f"mine-{name}")
        for i in range(segments):
            begin = seconds / segments * i
            cut = cut_of(recording, begin, begin + 2, "mine/s")
            text = same or f"{name} says number {i}"
            about = {"text": text, "speaker": "me", "language": "en"}
            cut.supervisions = [SupervisionSegment(cut.id, recording.id, 0, cut.duration, **about)]
            cuts.append(cut)
            known = {"id": cut.id, "begin": cut.start, "end": cut.end, "audio": str(wav)}
            rows.append({"recording": f"{name}.mp3", "criterion": "", **known, **about})
        bad = {"begin": 2.5, "end": 4.5, "criterion": "snr", "reason": "snr 3, it has to be 15"}
        rows.append({"recording": f"{name}.mp3", "id": f"{name}-bad", **bad})
        files.append(Source(f"{name}.mp3", f"mine-{name}", duration=seconds))
    kept = Kept(folder / "kept.jsonl.gz", folder / "kept.csv", folder / "s.csv")
    CutSet.from_cuts(cuts).to_file(kept.cuts)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(kept.segments, index=False)
    pd.DataFrame(files).to_csv(kept.files, index=False)
    return kept


def splits_of(folder: Path) -> dict[str, set[str]]:
    """Which splits the segments of each recording are in."""
    found: dict[str, set[str]] = {}
    for split in ("train", "dev", "test"):
        for cut in CutSet.from_jsonl_lazy(folder / f"cuts_{split}.jsonl.gz"):
            found.setdefault(cut.recording_id, set()).add(split)
    return found


def test_recordings_stay_together(tmp_path: Path) -> None:
    kept = shard(tmp_path, [f"talk{i}" for i in range(8)])
    write_kept(CORPUS, SplitConfig(dev=0.2, test=0.2), {"s": kept}, [], tmp_path)
    found = splits_of(tmp_path)
    assert len(found) == 8
    assert all(len(splits) == 1 for splits in found.values())
    assert set.union(*found.values()) == {"train", "dev", "test"}


def test_of_one_recording_stretches_stay_together(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["talk"], segments=60, seconds=600)
    write_kept(CORPUS, SplitConfig(dev=0.2, test=0.2), {"s": kept}, [], tmp_path)
    of_stretch: dict[int, set[str]] = {}
    for split in ("train", "dev", "test"):
        for cut in CutSet.from_jsonl_lazy(tmp_path / f"cuts_{split}.jsonl.gz"):
            of_stretch.setdefault(int(cut.start // 30), set()).add(split)
    assert len(of_stretch) == 20
    assert all(len(splits) == 1 for splits in of_stretch.values())
    assert set.union(*of_stretch.values()) == {"train", "dev", "test"}


def test_manifests_tell_time_by_the_recording(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["a", "b", "c"])
    write_kept(CORPUS, SplitConfig(), {"s": kept}, [], tmp_path)
    recordings = RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")
    assert len(list(recordings)) == 3
    said = {s.id: s for s in SupervisionSet.from_file(tmp_path / "supervisions.jsonl.gz")}
    cuts = CutSet.from_file(tmp_path / "cuts_train.jsonl.gz")
    cut = next(cut for cut in cuts if cut.start == 20)
    assert said[cut.id].start == 20


def test_a_text_in_test_is_not_trained_on(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["a", "b", "c", "d"], same="the same in all of them")
    write_kept(CORPUS, SplitConfig(), {"s": kept}, [], tmp_path)
    table = read_segments(tmp_path / "segments.csv")
    held = table[table["criterion"] == "held out"]
    assert set(held["reason"]) == {HELD_OUT}
    assert len(held) >= 4
    assert "train" not in set(table["split"])


def test_tables_say_what_became_of_all(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["a", "b", "c"])
    write_kept(CORPUS, SplitConfig(), {"s": kept}, [], tmp_path)
    hours = pd.read_csv(tmp_path / "hours.csv").set_index("criterion")
    assert hours.loc["kept", "segments"] == 12
    assert hours.loc["snr", "segments"] == 3
    assert hours.loc["snr", "minutes"] == pytest.approx(0.1)
    assert len(pd.read_csv(tmp_path / "rejected.csv")) == 0


def test_a_recording_of_which_nothing_is_left(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["a", "b", "c"])
    table = read_segments(kept.segments)
    table.loc[table["recording"] == "b.mp3", ["criterion", "reason"]] = ["snr", "snr 3 is too low"]
    table.to_csv(kept.segments, index=False)
    cuts = CutSet.from_file(kept.cuts).filter(lambda cut: cut.recording_id != "mine-b").to_eager()
    cuts.to_file(kept.cuts)
    write_kept(CORPUS, SplitConfig(), {"s": kept}, [], tmp_path)
    (row,) = pd.read_csv(tmp_path / "rejected.csv").itertuples()
    assert row.path == "b.mp3"
    assert row.reason == "none of its 5 segments is kept; 5 by snr, such as: snr 3 is too low"


def test_nothing_is_left(tmp_path: Path) -> None:
    kept = shard(tmp_path, ["a"], segments=0)
    with pytest.raises(ValueError, match=r"none of 1 segments is left.* snr 3, it has to be 15"):
        check_kept("mine", [kept.cuts], [kept.segments])
    some = shard(tmp_path, ["b"])
    check_kept("mine", [kept.cuts, some.cuts], [kept.segments, some.segments])


def test_labels_of_recordings_that_are_not_here(tmp_path: Path) -> None:
    """They are rows, so that the page that takes the place of labels.tsv has them."""
    kept = shard(tmp_path, ["a", "b", "c"])
    labels = [Label("gone.mp3", 1.0, 2.5, "ok", "Ann", "Nobody hears this.")]
    write_kept(CORPUS, SplitConfig(), {"s": kept}, labels, tmp_path)
    table = read_segments(tmp_path / "segments.csv")
    (row,) = table[table["recording"] == "gone.mp3"].itertuples()
    assert (row.criterion, row.status, row.labelled) == ("labels", "ok", "Ann")
    assert (row.begin, row.end, row.text) == (1.0, 2.5, "Nobody hears this.")


def test_a_shard_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    kept = shard(tmp_path, ["a", "b", "c"])
    empty = shard(tmp_path / "empty", ["d"], segments=0)
    read_segments(empty.segments).iloc[:0].to_csv(empty.segments, index=False)
    write_kept(CORPUS, SplitConfig(), {"s0": kept, "s1": empty}, [], tmp_path)
    hours = pd.read_csv(tmp_path / "hours.csv", dtype=str)
    assert hours["minutes"].str.len().max() <= 5
