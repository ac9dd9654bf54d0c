"""What becomes of the files of shards that are gone."""

from pathlib import Path

from revoice.corpus.shards import remove_gone


def test_files_of_shards_that_are_gone(tmp_path: Path) -> None:
    kept, gone = [], []
    for shard in ("s", "s0", "s00", "s01", "s1"):
        files = [f"audio/{shard}/a.flac", f"audio/{shard}.csv", f"audio/{shard}.jsonl.gz"]
        files += [
            f"codes/{c}/{shard}.{end}" for c in ("world", "mine") for end in ("h5", "jsonl.gz")
        ]
        (kept if shard in ("s00", "s01", "s1") else gone).extend(files)
    others = ["audio/s0.csv.txt", "audio/speech.csv", "codes/world/s2.h5", "cuts_train.jsonl.gz"]
    others += ["shards/s.tsv", "audio/.snakemake_timestamp"]
    for file in (*kept, *gone, *others):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    removed = remove_gone(tmp_path, {"s00", "s01", "s1"})
    assert len(removed) == 2 * (3 + 4)
    assert [file for file in gone if (tmp_path / file).exists()] == []
    assert [file for file in (*kept, *others) if not (tmp_path / file).exists()] == []
    assert remove_gone(tmp_path, {"s00", "s01", "s1"}) == []


def test_nothing_is_there(tmp_path: Path) -> None:
    assert remove_gone(tmp_path / "none", {"s"}) == []
