"""Manifests: what Lhotse makes of the files written, and what is left out."""

import csv
import shutil
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from lhotse import CutSet, RecordingSet, SupervisionSet, validate
from lhotse.qa import validate_recordings_and_supervisions

from revoice.config import AudioConfig, CorpusConfig, SplitConfig
from revoice.corpus.audio import SAMPLE_RATE, Source, recordings_of, resample
from revoice.corpus.files import usable_by_id
from revoice.corpus.index import scan
from revoice.corpus.manifests import HELD_OUT, write_manifests
from revoice.files import atomic
from tests.helpers.recorded import speak, write


def prepared(
    tmp_path: Path, corpus: CorpusConfig, root: Path, shards: int = 2
) -> dict[str, tuple[Path, Path]]:
    """Resample a corpus in some shards, as `write_manifests` wants them."""
    paths = [file.path for file in scan(corpus)[0]]
    found = {}
    for number in range(shards):
        name = f"s{number}"
        sources = resample(
            "mine", paths[number::shards], root, tmp_path / "audio" / name, AudioConfig()
        )
        found[name] = laid_down(sources, tmp_path / "audio" / name)
    return found


def laid_down(sources: list[Source], folder: Path) -> tuple[Path, Path]:
    """A shard's recordings and its table, as `resample` leaves them."""
    recordings, table = folder.with_suffix(".jsonl.gz"), folder.with_suffix(".csv")
    with atomic(recordings) as temporary:
        recordings_of(sources, folder).to_file(temporary)
    pd.DataFrame(sources).to_csv(table, index=False)
    return recordings, table


def rejected_in(folder: Path) -> dict[str, str]:
    """Reasons by path, as `write_manifests` has left them."""
    with open(folder / "rejected.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    root = tmp_path / "recordings"
    for number in range(12):
        rate = SAMPLE_RATE if number % 2 else 16000
        speak(root / f"amy{number % 3}" / f"{number}.wav", 0.3 + number / 20, rate)
        write(root / f"amy{number % 3}" / f"{number}.txt", f"Sentence {number}.")
    return root


def load(folder: Path) -> dict[str, CutSet]:
    files = {split: folder / f"cuts_{split}.jsonl.gz" for split in ("train", "dev", "test")}
    return {split: CutSet.from_jsonl_lazy(path) for split, path in files.items()}


def test_manifests_are_lhotse_s(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings), languages=["de"])
    shards = prepared(tmp_path, corpus, recordings)
    write_manifests("mine", corpus, SplitConfig(dev=0.2, test=0.2), shards, tmp_path)
    assert rejected_in(tmp_path) == {}
    recording_set = RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")
    supervision_set = SupervisionSet.from_file(tmp_path / "supervisions.jsonl.gz")
    assert len(recording_set) == len(supervision_set) == 12
    validate_recordings_and_supervisions(recording_set, supervision_set, read_data=True)
    cuts = [cut for split in load(tmp_path).values() for cut in split]
    assert sorted(cut.id for cut in cuts) == sorted(recording_set.ids)
    validate(CutSet.from_cuts(cuts), read_data=True)
    for cut in cuts:
        audio = cut.load_audio()
        assert (cut.sampling_rate, audio.shape) == (SAMPLE_RATE, (1, cut.num_samples))
        assert cut.duration == cut.recording.duration
        (supervision,) = cut.supervisions
        number = cut.id.rsplit("-")[-1]
        assert supervision.text == f"Sentence {number}."
        assert (supervision.language, supervision.speaker) == ("de", f"amy{int(number) % 3}")
        assert cut.duration == pytest.approx(0.3 + int(number) / 20, abs=0.01)
        assert cut.id in usable_by_id(shards[cut.shard.removeprefix("mine/")][1])
    assert all(len(list(split)) > 0 for split in load(tmp_path).values())


def test_bad_transcripts_are_rejected_with_their_reasons(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    (recordings / "amy0" / "0.txt").unlink()
    write(recordings / "amy1" / "1.txt", "")
    write(recordings / "amy2" / "2.txt", b"\xff\xfeH\0i\0")
    shards = prepared(tmp_path, corpus, recordings)
    write_manifests("mine", corpus, SplitConfig(), shards, tmp_path)
    reasons = rejected_in(tmp_path)
    assert set(reasons) == {"amy0/0.wav", "amy1/1.wav", "amy2/2.wav"}
    assert reasons["amy0/0.wav"].startswith("has no transcript")
    assert reasons["amy1/1.wav"] == "1.txt is empty"
    assert reasons["amy2/2.wav"] == "2.txt is not UTF-8"
    assert sum(len(list(split)) for split in load(tmp_path).values()) == 9
    with pytest.raises(ValueError, match=r"3 recordings have no usable transcript, first amy") as e:
        write_manifests("mine", corpus, SplitConfig(), shards, tmp_path / "strict", strict=True)
    assert "audio.strict" in str(e.value)
    assert not (tmp_path / "strict").exists() or not list((tmp_path / "strict").iterdir())


def test_what_repeats_the_test_split_is_listed(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    write(recordings / "amy0" / "0.txt", "The same.")
    write(recordings / "amy1" / "1.txt", "the same")
    config = SplitConfig(by="speaker", test_speakers=["amy1"])
    shards = prepared(tmp_path, corpus, recordings)
    write_manifests("mine", corpus, config, shards, tmp_path)
    assert rejected_in(tmp_path) == {"amy0/0.wav": HELD_OUT}
    cuts = load(tmp_path)
    assert {cut.supervisions[0].speaker for cut in cuts["test"]} == {"amy1"}
    assert {cut.supervisions[0].speaker for cut in cuts["train"]} == {"amy0", "amy2"}
    assert len(list(cuts["train"])) == 7
    assert len(list(cuts["dev"])) == 0


def test_a_shard_of_which_nothing_is_left(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    shards = prepared(tmp_path, corpus, recordings)
    for path in [file.path for file in scan(corpus)[0]][1::2]:
        (recordings / path).write_bytes(b"")
    shards = prepared(tmp_path, corpus, recordings)
    assert usable_by_id(shards["s1"][1]) == {}
    write_manifests("mine", corpus, SplitConfig(), shards, tmp_path)
    assert set(rejected_in(tmp_path).values()) == {"is empty"}
    files = (tmp_path / "files.csv").read_text().splitlines()
    assert files[0] == shards["s0"][1].read_text().splitlines()[0]
    assert [line.split(",")[0] for line in files[1:]] == sorted(f.path for f in scan(corpus)[0])
    assert any(",16000.0,1.0," in line for line in files), "as they miss elsewhere"
    assert len(RecordingSet.from_file(tmp_path / "recordings.jsonl.gz")) == 6


def test_nothing_left_at_all(tmp_path: Path, recordings: Path) -> None:
    corpus = CorpusConfig(kind="folder", path=str(recordings))
    for path in recordings.rglob("*.txt"):
        path.unlink()
    shards = prepared(tmp_path, corpus, recordings)
    with pytest.raises(ValueError, match=r"corpora\.mine: no recording .*(?s:.)*has no transcript"):
        write_manifests("mine", corpus, SplitConfig(), shards, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("kind", "name"), [("libritts", "LibriTTS"), ("ljspeech", "LJSpeech-1.1")])
def test_real_layouts(spoken: Path, tmp_path: Path, kind: str, name: str) -> None:
    root = spoken / name
    corpus = CorpusConfig.model_validate({"kind": kind, "path": str(root)})
    shards = prepared(tmp_path, corpus, root, shards=1)
    write_manifests("mine", corpus, SplitConfig(dev=0, test=0), shards, tmp_path)
    assert rejected_in(tmp_path) == {}
    cuts = list(load(tmp_path)["train"])
    assert len(cuts) == len(list(root.rglob("*.wav")))
    for cut in cuts:
        assert cut.load_audio().shape == (1, cut.num_samples)
        text = cut.supervisions[0].text
        assert len(text) > 10
        if kind == "libritts":
            path = root / usable_by_id(shards["s0"][1])[cut.id]
            assert text == path.with_suffix(".normalized.txt").read_text("utf-8").strip()
            assert cut.supervisions[0].speaker == path.parts[-3]
        else:
            assert text in (root / "metadata.csv").read_text("utf-8")


def test_real_digits_by_whole_speakers(spoken: Path, tmp_path: Path) -> None:
    root = tmp_path / "digits"
    words = dict(enumerate("zero one two three four five six seven eight nine".split()))
    for file in sorted((spoken / "digits").glob("*_*_0.wav")):
        digit, speaker, _ = file.stem.split("_")
        (root / speaker).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / speaker / file.name)
        write(root / speaker / f"{file.stem}.txt", words[int(digit)])
    corpus = CorpusConfig(kind="folder", path=str(root))
    speakers = sorted(path.name for path in root.iterdir())
    shards = prepared(tmp_path, corpus, root)
    config = SplitConfig(by="speaker", dev_speakers=speakers[1:2], test_speakers=speakers[:1])
    write_manifests("mine", corpus, config, shards, tmp_path)
    cuts = {split: list(of) for split, of in load(tmp_path).items()}
    assert {cut.supervisions[0].speaker for cut in cuts["test"]} == set(speakers[:1])
    assert {cut.supervisions[0].speaker for cut in cuts["dev"]} == set(speakers[1:2])
    assert cuts["train"] == [], "every speaker says the same digits"
    assert len(rejected_in(tmp_path)) == len(list(root.rglob("*.wav"))) - len(cuts["test"]) - len(
        cuts["dev"]
    )


def peak(folder: Path, count: int, kind: str, by: str) -> int:
    """Bytes that Python holds at most while manifests of so many made-up recordings are written."""
    paths = [f"{number % 7}/{number:05d}.wav" for number in range(count)]
    with open(folder / "table.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "text", "speaker"])
        rows.writerows([path, f"This is sentence {path}.", path[0]] for path in paths)
    if kind == "folder":
        for path in paths:
            write(folder / path.replace(".wav", ".txt"), f"This is sentence {path}.")
    shards = {}
    for first in range(0, count, 50):
        of_shard = [
            Source(p, p[2:7], rate=24000, channels=1, duration=3.0)
            for p in paths[first : first + 50]
        ]
        shards[f"s{first:016b}"] = laid_down(of_shard, folder / f"s{first:016b}")
    where = str(folder / "table.csv" if kind == "table" else folder)
    corpus = CorpusConfig.model_validate({"kind": kind, "path": where})
    config = SplitConfig.model_validate({"by": by})
    tracemalloc.start()
    write_manifests("mine", corpus, config, shards, folder)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(RecordingSet.from_file(folder / "recordings.jsonl.gz")) == count
    return memory


@pytest.mark.parametrize(("kind", "by"), [("table", "text"), ("folder", "speaker")])
def test_memory_is_that_of_a_shard(tmp_path: Path, kind: str, by: str) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir(), many.mkdir()
    peak(many, 1000, kind, by)  # what is loaded once, and what Python keeps of freed memory
    # what it keeps fills slowly, and weighs in sizes as small as these
    assert peak(many, 1000, kind, by) < 1.25 * peak(few, 100, kind, by)
