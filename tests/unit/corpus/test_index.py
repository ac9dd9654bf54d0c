"""The index of a corpus: its files, its shards, and when their digests change."""

import csv
import os
import random
import shutil
import string
from collections.abc import Iterable
from pathlib import Path

import pytest

from revoice.config import CorpusConfig
from revoice.corpus import index as corpus_module
from revoice.corpus.asterisk import asterisk_index
from revoice.corpus.index import (
    AudioFile,
    Index,
    assign_shards,
    index_corpus,
    read_index,
    scan,
    write_index,
)
from revoice.corpus.naming import read_shard, slug
from revoice.corpus.table import read_table
from revoice.files import sha256, write_json

SECONDS = 60.0


def folder_corpus(path: Path) -> CorpusConfig:
    return CorpusConfig(kind="folder", path=str(path))


def random_files(count: int, seed: int) -> list[AudioFile]:
    source = random.Random(seed)
    letters = string.ascii_letters + string.digits + "äß语 _-."
    names = {"".join(source.choices(letters, k=source.randint(3, 12))) for _ in range(count)}
    return [AudioFile(f"{name}x.wav", source.uniform(0.1, 20), "stamp") for name in sorted(names)]


def paths(shards: dict[str, list[AudioFile]]) -> dict[str, list[str]]:
    return {shard: [file.path for file in files] for shard, files in shards.items()}


@pytest.mark.parametrize("seed", range(5))
def test_shards_hold_every_file_once_and_are_about_as_long_as_asked(seed: int) -> None:
    files = random_files(200, seed)
    shards = assign_shards(files, SECONDS)
    assert sorted(file for part in shards.values() for file in part) == sorted(files)
    for shard, part in shards.items():
        assert set(shard) <= set("s01")
        assert part == sorted(part)
        assert len(part) == 1 or sum(file.seconds for file in part) <= SECONDS * 4 / 3
    filled = sum(file.seconds for file in files) / (SECONDS * len(shards))
    assert filled > 0.5, "so few files do not halve evenly, but nearly"


@pytest.mark.parametrize("seed", range(3))
def test_shards_do_not_depend_on_the_order_of_files(seed: int) -> None:
    files = random_files(100, seed)
    shuffled = random.Random(seed).sample(files, len(files))
    assert assign_shards(files, SECONDS) == assign_shards(shuffled, SECONDS)


def assert_one_shard_differs(
    fewer: dict[str, list[str]], more: dict[str, list[str]], path: str
) -> None:
    """`more` is `fewer` with `path` in one shard, which may have split for it."""
    gone = {shard: files for shard, files in fewer.items() if more.get(shard) != files}
    new = {shard: files for shard, files in more.items() if fewer.get(shard) != files}
    assert len(gone) <= 1
    before = [file for files in gone.values() for file in files]
    after = [file for files in new.values() for file in files]
    assert sorted([*before, path]) == sorted(after)
    for shard in gone:
        assert all(part.startswith(shard) for part in new)


@pytest.mark.parametrize("seed", range(5))
def test_a_file_added_or_removed_changes_its_own_shard_alone(seed: int) -> None:
    files = random_files(150, seed)
    everything = paths(assign_shards(files, SECONDS))
    for file in files:
        without = paths(assign_shards([other for other in files if other != file], SECONDS))
        assert_one_shard_differs(without, everything, file.path)


def test_a_corpus_grown_file_by_file() -> None:
    files = random_files(120, seed=9)
    random.Random(9).shuffle(files)
    shards = paths(assign_shards(files[:1], SECONDS))
    for count in range(2, len(files) + 1):
        grown = paths(assign_shards(files[:count], SECONDS))
        assert_one_shard_differs(shards, grown, files[count - 1].path)
        shards = grown


def test_a_file_longer_than_a_shard_has_one_of_its_own() -> None:
    files = [AudioFile(f"{i}.wav", 10 * SECONDS if i == 3 else 1.0, "") for i in range(20)]
    shards = assign_shards(files, SECONDS)
    (home,) = [part for part in shards.values() if files[3] in part]
    assert home == [files[3]]


def test_files_of_one_name_meet_in_one_shard() -> None:
    files = random_files(300, seed=4)
    twins = [AudioFile(name, 5.0, "") for name in ("a/b c.wav", "a-b c.flac", "a/b_c.ogg")]
    shards = assign_shards([*files, *twins], SECONDS)
    assert len({shard for shard, part in shards.items() for twin in twins if twin in part}) == 1
    assert len({slug(twin.path) for twin in twins}) == 1


def write(path: Path, content: str | bytes = b"\0" * 48000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Thirty files of a second each, with transcripts."""
    root = tmp_path / "recordings"
    for number in range(30):
        write(root / f"part{number % 3}" / f"{number}.wav", bytes([number]) * 48000)
        write(root / f"part{number % 3}" / f"{number}.txt", f"number {number}")
    return root


def lists(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every list, and of the index."""
    files = [path for path in folder.rglob("*") if path.suffix in {".tsv", ".json"}]
    return {path.name: (path.read_text("utf-8"), path.stat().st_mtime_ns) for path in files}


def planned(root: Path, folder: Path, seconds: float = 8) -> Index:
    return index_corpus(folder_corpus(root), folder, seconds)


def made(root: Path, folder: Path, seconds: float = 8) -> Index:
    """What planning finds, once it is written as the rule does: scanned anew."""
    index = planned(root, folder, seconds)
    again = index_corpus(folder_corpus(root), folder, seconds, index.kept)
    assert again == index
    write_index(again, folder / "index.json")
    assert read_index(folder / "index.json") == index._replace(lists={}, kept={})
    return index


def changed(before: Index, after: Index) -> set[str]:
    """Shards whose digest is another."""
    both = {*before.shards, *after.shards}
    return {shard for shard in both if before.shards.get(shard) != after.shards.get(shard)}


def shard_with(folder: Path, path: str) -> str:
    (shard,) = (p.stem for p in (folder / "shards").glob("*.tsv") if path in read_shard(p))
    return shard


def resampled(folder: Path, root: Path) -> None:
    """Leave the tables that resampling leaves."""
    for path in (folder / "shards").glob("*.tsv"):
        table = folder / "audio" / f"{path.stem}.csv"
        table.parent.mkdir(exist_ok=True)
        with open(table, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["path", "sha256"])
            writer.writeheader()
            for name in read_shard(path):
                writer.writerow({"path": name, "sha256": sha256(root / name)})


def test_index_lists_every_file(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards = sorted(made(recordings, out).shards)
    assert shards == sorted(path.stem for path in (out / "shards").iterdir())
    assert len(shards) > 3
    listed = [path for shard in shards for path in read_shard(out / f"shards/{shard}.tsv")]
    assert sorted(listed) == sorted(f"part{n % 3}/{n}.wav" for n in range(30))
    transcripts = (out / "transcripts.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in transcripts] == sorted(
        f"part{n % 3}/{n}.txt" for n in range(30)
    )


def test_looking_writes_nothing(recordings: Path, tmp_path: Path) -> None:
    index = planned(recordings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert set(index.lists) == {"transcripts.tsv", *(f"shards/{name}.tsv" for name in index.shards)}
    assert read_index(tmp_path / "out/index.json") == Index({}, "", {}, {})
    made(recordings, tmp_path)
    before = lists(tmp_path)
    write(recordings / "part0" / "new.wav", b"\0" * 480)
    assert planned(recordings, tmp_path).lists
    assert lists(tmp_path) == before


def test_nothing_is_written_anew_where_nothing_changed(recordings: Path, tmp_path: Path) -> None:
    index = made(recordings, tmp_path)
    before = lists(tmp_path)
    assert made(recordings, tmp_path) == index._replace(lists={})
    del before["index.json"]
    assert lists(tmp_path).items() >= before.items()


def test_a_recording_added_and_removed_changes_one_digest(recordings: Path, tmp_path: Path) -> None:
    before = made(recordings, tmp_path)
    added = write(recordings / "part0" / "new.wav", b"\0" * 480)
    after = made(recordings, tmp_path)
    shard = shard_with(tmp_path, "part0/new.wav")
    assert changed(before, after) == {shard}
    assert set(after.lists) == {f"shards/{shard}.tsv"}
    assert (after.transcripts, after.digest != before.digest) == (before.transcripts, True)
    added.unlink()
    assert planned(recordings, tmp_path)[:2] == before[:2]


def test_lists_of_shards_that_are_no_more_are_removed(recordings: Path, tmp_path: Path) -> None:
    many = made(recordings, tmp_path, seconds=2)
    one = made(recordings, tmp_path, seconds=3600)
    assert len(many.shards) > len(one.shards) == 1
    assert [path.stem for path in (tmp_path / "shards").iterdir()] == list(one.shards)


def test_a_transcript_corrected_changes_the_digest_of_transcripts(
    recordings: Path, tmp_path: Path
) -> None:
    before = made(recordings, tmp_path)
    write(recordings / "part0" / "0.txt", "number zero")
    after = made(recordings, tmp_path)
    assert changed(before, after) == set()
    assert after.transcripts != before.transcripts
    assert after.digest != before.digest
    assert set(after.lists) == {"transcripts.tsv"}


def test_a_file_touched_with_the_same_bytes_changes_no_digest(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(recordings, tmp_path)
    resampled(tmp_path, recordings)
    os.utime(recordings / "part1" / "4.wav")
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(corpus_module, "sha256", counted)
    for _ in range(2):
        assert made(recordings, tmp_path)[:2] == before[:2]
    assert read == [recordings / "part1" / "4.wav"], "only what was touched is read, and once"
    shard = shard_with(tmp_path, "part1/4.wav")
    lines = (tmp_path / f"shards/{shard}.tsv").read_text("utf-8").splitlines()
    fields = {path: (stamp, since) for path, stamp, since in (line.split("\t") for line in lines)}
    stamp, since = fields.pop("part1/4.wav")
    assert stamp != since
    assert stamp == f"48000:{(recordings / 'part1/4.wav').stat().st_mtime_ns}"
    assert all(stamp == since for stamp, since in fields.values())


def test_many_files_touched_are_named_until_it_is_noted(
    recordings: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(recordings, tmp_path, seconds=2)
    resampled(tmp_path, recordings)
    for path in recordings.rglob("*.wav"):
        os.utime(path)
    assert not caplog.records
    index = made(recordings, tmp_path, seconds=2)
    assert len(index.kept) == len(index.shards) > 10
    (record,) = caplog.records
    assert f"`snakemake --force {tmp_path}/index.json`" in record.getMessage()
    assert planned(recordings, tmp_path, seconds=2).kept == {}
    assert len(caplog.records) == 1


def test_a_file_touched_twice_and_changed_in_between(recordings: Path, tmp_path: Path) -> None:
    path = recordings / "part1" / "4.wav"
    digests = [made(recordings, tmp_path).digest]
    resampled(tmp_path, recordings)
    for content in (4, 5, 5, 4):
        write(path, bytes([content]) * 48000)
        digests.append(made(recordings, tmp_path).digest)
        resampled(tmp_path, recordings)
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 3


def test_what_is_the_same_is_known_by_the_plan_where_the_table_is_gone(
    recordings: Path, tmp_path: Path
) -> None:
    made(recordings, tmp_path)
    resampled(tmp_path, recordings)
    os.utime(recordings / "part1" / "4.wav")
    index = planned(recordings, tmp_path)
    shutil.rmtree(tmp_path / "audio")  # as jobs do that start meanwhile
    corpus = folder_corpus(recordings)
    assert index_corpus(corpus, tmp_path, 8, index.kept) == index
    assert planned(recordings, tmp_path).digest != index.digest
    for touched in ("part1/4.wav", "part2/5.wav"):
        os.utime(recordings / touched)
        assert index_corpus(corpus, tmp_path, 8, index.kept).digest != index.digest, (
            "what it has become since is not known"
        )


def test_a_file_with_other_bytes_of_the_same_size(recordings: Path, tmp_path: Path) -> None:
    before = made(recordings, tmp_path)
    resampled(tmp_path, recordings)
    write(recordings / "part1" / "4.wav", b"\7" * 48000)
    assert changed(before, made(recordings, tmp_path)) == {shard_with(tmp_path, "part1/4.wav")}


def test_a_file_touched_before_its_shard_was_resampled(recordings: Path, tmp_path: Path) -> None:
    before = made(recordings, tmp_path)
    os.utime(recordings / "part1" / "4.wav")
    assert changed(before, made(recordings, tmp_path)) == {shard_with(tmp_path, "part1/4.wav")}


def test_lists_of_an_earlier_version(recordings: Path, tmp_path: Path) -> None:
    """They have no third field: what a file is now is what it was when it changed last."""
    before = made(recordings, tmp_path)
    for path in (tmp_path / "shards").iterdir():
        lines = path.read_text("utf-8").splitlines()
        path.write_text("".join(f"{line.rpartition(chr(9))[0]}\n" for line in lines), "utf-8")
    after = planned(recordings, tmp_path)
    assert after[:2] == before[:2]
    assert len(after.lists) == len(before.shards)


def names(files: Iterable[AudioFile]) -> list[str]:
    return [file.path for file in files]


def test_what_is_audio_and_what_is_a_transcript(tmp_path: Path) -> None:
    for name in ["a.WAV", "b.flac", "c d/e.mp3", ".hidden.wav", "._a.wav", ".cache/f.wav", "g.pdf"]:
        write(tmp_path / name)
    for name in ["a.txt", "b.normalized.txt", "c d/e.txt", ".hidden.txt", "notes.md"]:
        write(tmp_path / name)
    files, texts = scan(folder_corpus(tmp_path))
    assert names(files) == ["a.WAV", "b.flac", "c d/e.mp3"]
    assert [t.split("\t")[0] for t in texts] == ["a.txt", "b.normalized.txt", "c d/e.txt"]


@pytest.mark.parametrize("path", [".", "./", "sub/..", "../{here}"])
def test_paths_of_a_corpus_around_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    write(tmp_path / "sub" / "deeper" / "a.wav")
    write(tmp_path / "b.wav")
    monkeypatch.chdir(tmp_path)
    config = CorpusConfig(kind="folder", path=path.format(here=tmp_path.name))
    assert names(scan(config)[0]) == ["b.wav", "sub/deeper/a.wav"]


def test_links_are_followed_and_dangling_ones_listed_as_absent(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.wav")
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    files, _ = scan(folder_corpus(root))
    assert names(files) == ["dangling.wav", "linked/a.wav"]
    assert files[0].stamp == "absent"


def test_links_in_a_circle_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "corpus"
    write(root / "inside" / "a.wav")
    (root / "inside" / "up").symlink_to(root)
    (root / "twice").symlink_to(root / "inside")
    for name in ("one", "one.wav", "one.txt"):
        (root / name).symlink_to(root / f"other-{name}")
        (root / f"other-{name}").symlink_to(root / name)
    files, texts = scan(folder_corpus(root))
    assert names(files) == ["inside/a.wav", "twice/a.wav"]
    assert texts == []
    assert f"{root / 'inside/up'} is a link to a folder that it is in" in caplog.text
    assert f"{root / 'one.wav'}: Too many levels of symbolic links: left out" in caplog.text


@pytest.mark.parametrize("name", [b"tab\there.wav", b"line\nbreak.wav", b"latin-\xe9.wav"])
def test_names_that_cannot_stand_in_a_list(tmp_path: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass
    with pytest.raises(ValueError, match="rename it"):
        scan(folder_corpus(tmp_path))


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("folder", "absent", "absent is not a folder"),
        ("folder", "file.wav", "file.wav is not a folder"),
        ("folder", "empty", "empty holds no audio"),
        ("table", "empty", "empty is not a file"),
        ("table", "absent.csv", "absent.csv is not a file"),
    ],
)
def test_corpora_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, path: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "file.wav")
    with pytest.raises(ValueError, match=expected):
        scan(CorpusConfig.model_validate({"kind": kind, "path": path}))


def test_subsets_of_a_corpus(tmp_path: Path) -> None:
    for subset in ["dev-clean", "test-clean", "train-clean-100"]:
        write(tmp_path / subset / "84" / "121" / "84_121_0_0.wav")
        write(tmp_path / subset / "84" / "121" / "84_121.trans.tsv")
    config = CorpusConfig(
        kind="libritts", path=str(tmp_path), subsets=["dev-clean", "train-clean-100/"]
    )
    files, texts = scan(config)
    assert names(files) == [
        "dev-clean/84/121/84_121_0_0.wav",
        "train-clean-100/84/121/84_121_0_0.wav",
    ]
    assert len(texts) == 2
    with pytest.raises(ValueError, match="test-other is not a folder"):
        scan(config.model_copy(update={"subsets": ["test-other"]}))


@pytest.mark.parametrize(
    ("name", "separator"), [("list.csv", ","), ("list.tsv", "\t"), ("list.tab", "\t")]
)
def test_tables(tmp_path: Path, name: str, separator: str) -> None:
    write(tmp_path / "audio" / "a.wav")
    rows = [["path", "text", "speaker"], ["./audio/a.wav", "Hello", "me"], ["b.wav", "you"]]
    content = "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\r\n"
    table = write(tmp_path / name, content)
    assert read_table(str(table)) == [
        {"path": "audio/a.wav", "text": "Hello", "speaker": "me"},
        {"path": "b.wav", "text": "you", "speaker": ""},
    ]
    files, texts = scan(CorpusConfig(kind="table", path=str(table)))
    assert names(files) == ["audio/a.wav", "b.wav"]
    assert [file.stamp == "absent" for file in files] == [False, True]
    assert texts[0].startswith(f"{name}\t")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("path,words\na.wav,hi\n", "no column text; columns are path, words"),
        ("path;text\na.wav;hi\n", "no column path and text; columns are path;text"),
        ("", r"no column path and text; columns are \(none\)"),
        ("path,text\na.wav,one\n,two\n", "line 3 names no path"),
        ("path,text\na.wav,one\nb.wav,two\n./a.wav,three\n", r"line 4 names a\.wav again"),
        (b"path,text\na.wav,caf\xe9\n", "is not UTF-8"),
        ("path,text\n", "holds no audio"),
    ],
)
def test_faults_of_tables(tmp_path: Path, content: str | bytes, expected: str) -> None:
    table = write(tmp_path / "list.csv", content)
    with pytest.raises(ValueError, match=expected) as error:
        scan(CorpusConfig(kind="table", path=str(table)))
    assert "list.csv" in str(error.value)


def test_the_default_corpus_is_known_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = CorpusConfig(kind="asterisk", languages=["en", "fr"])
    index = index_corpus(config, tmp_path / "out", seconds=600)
    write_index(index, tmp_path / "out/index.json")
    listed = [p for path in (tmp_path / "out/shards").iterdir() for p in read_shard(path)]
    expected = [f"{lang}/{path}" for lang in ("en", "fr") for path, _ in asterisk_index(lang)]
    assert sorted(listed) == sorted(expected)
    assert not (tmp_path / "data").exists()


def test_an_unknown_language_of_the_default_corpus() -> None:
    with pytest.raises(ValueError, match="xx"):
        scan(CorpusConfig(kind="asterisk", languages=["xx"]))


def test_real_layouts(spoken: Path) -> None:
    for kind, name in [("libritts", "LibriTTS"), ("ljspeech", "LJSpeech-1.1")]:
        root = spoken / name
        files, texts = scan(CorpusConfig.model_validate({"kind": kind, "path": str(root)}))
        assert names(files) == sorted(p.relative_to(root).as_posix() for p in root.rglob("*.wav"))
        assert texts


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Raw recordings in a few shards."""
    for name in string.ascii_lowercase[:8]:
        path = tmp_path / "raw" / f"show {name}.mp3"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 12000 * 40)
    return tmp_path / "raw"


def raw_index(raw: Path) -> Index:
    corpus = CorpusConfig(kind="recordings", path=str(raw))
    return index_corpus(corpus, raw.parent / "index", SECONDS)


def others(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {shard for shard in before if before[shard] != after[shard]}


@pytest.mark.parametrize(
    "name", ["show c.srt", "show c.en.vtt", "show c.TextGrid", "show c.txt", "show c.de-AT.srt"]
)
def test_what_lies_beside_a_recording_is_a_matter_of_its_shard(raw: Path, name: str) -> None:
    before = raw_index(raw)
    assert len(before.shards) > 3
    (raw / name).write_text("Hello.")
    after = raw_index(raw)
    (shard,) = others(dict(before.beside), dict(after.beside))
    assert "show c.mp3" in "".join(after.lists[f"shards/{shard}.tsv"])
    assert after.labels == before.labels
    assert after.shards == before.shards
    assert after.transcripts != before.transcripts


def test_what_is_proofread_is_a_matter_of_its_shard(raw: Path) -> None:
    before = raw_index(raw)
    header = "recording\tbegin\tend\tstatus\tspeaker\ttext\n"
    (raw / "labels.tsv").write_text(f"{header}show c.mp3\t1\t2\tok\t\tHello.\n")
    after = raw_index(raw)
    (shard,) = others(dict(before.labels), dict(after.labels))
    assert "show c.mp3" in "".join(after.lists[f"shards/{shard}.tsv"])
    assert after.beside == before.beside
    assert after.transcripts != before.transcripts


def test_an_index_of_raw_recordings_is_read_as_it_was_written(raw: Path) -> None:
    index, path = raw_index(raw), raw.parent / "index/index.json"
    write_index(index, path)
    assert read_index(path)._replace(lists=index.lists) == index


@pytest.mark.parametrize("raw", [{"beside": {"t0": "1"}}, {"labels": 3}, {"more": {}}])
def test_an_index_that_holds_something_else(tmp_path: Path, raw: dict[str, object]) -> None:
    write_json(tmp_path / "index.json", {"shards": {}, "transcripts": "0", **raw})
    with pytest.raises(ValueError, match="is not the index of a corpus: remove it"):
        read_index(tmp_path / "index.json")
