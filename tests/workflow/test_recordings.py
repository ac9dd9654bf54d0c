"""A folder of raw recordings goes to a page of synthesised speech, and people proofread it."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lhotse import CutSet, SupervisionSet

from tests.helpers import small
from tests.helpers.browser import opened
from tests.helpers.podcasts import SAID, speak, write_podcasts, write_sound
from tests.workflow.conftest import Snakemake

MINE = "results/corpora/mine"
BEFORE = {"resample", "segment", "transcribe", "assess", "fit_codec", "encode"}


def config(**recordings: Any) -> dict[str, Any]:
    """One entry for the corpus."""
    made = small.config(
        corpora={"mine": {"kind": "recordings", "path": "podcasts", "speaker": "me"}},
        audio={"shard_minutes": 0.5},
        split={"dev": 0.2, "test": 0.2, "seed": 1},
        recordings=recordings,
        score=small.UNSCORED,
    )
    made["experiments"]["tiny"]["corpora"] = ["mine"]
    return made


@pytest.fixture(scope="module")
def finished(snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which it ran to its end."""
    folder = tmp_path_factory.mktemp("podcasts")
    write_podcasts(folder / "podcasts")
    snakemake(folder, *small.ONE_THREAD, config=config(), timeout=1800).succeeded()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed; as deep as that one, since paths lead to the project from there."""
    shutil.copytree(finished, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


def segments(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / MINE / "segments.csv", keep_default_na=False)


def texts(folder: Path) -> dict[str, str]:
    """What is said in each recording, of what is kept."""
    table = segments(folder)
    kept = table[table["criterion"] == ""].sort_values(["recording", "begin"])
    return kept.groupby("recording")["text"].agg(" ".join).to_dict()


def test_one_entry_and_one_command_make_the_page(finished: Path) -> None:
    assert (finished / "results/index.html").exists()
    assert (finished / MINE / "labels.html").exists()
    spoken = list((finished / "results/tiny/synthesis").glob("*.wav"))
    assert any(path.name.endswith("-recording.wav") for path in spoken)
    assert "labels.html" in (finished / "results/index.html").read_text("utf-8")


def test_all_that_is_said_is_written_down(finished: Path) -> None:
    found = texts(finished)
    assert found["letters.ogg"] == " ".join(SAID["letters.ogg"])
    assert found["garden.flac"] == " ".join(SAID["garden.flac"])
    for name in ("walk.mp3", "kitchen.wav"):
        heard, said = found[name].lower().split(), " ".join(SAID[name]).lower().split()
        assert len(set(said) - set(heard)) <= 0.1 * len(said), found[name]
    sources = segments(finished).groupby("recording")["source"].agg(set).to_dict()
    assert sources["letters.ogg"] == {"transcript"}
    assert sources["walk.mp3"] == {"recognised"}


def test_whole_recordings_are_in_one_split(finished: Path) -> None:
    found: dict[str, set[str]] = {}
    for split in ("train", "dev", "test"):
        for cut in CutSet.from_jsonl_lazy(finished / MINE / f"cuts_{split}.jsonl.gz"):
            found.setdefault(cut.recording_id, set()).add(split)
    assert len(found) == len(SAID)
    assert all(len(splits) == 1 for splits in found.values())


def test_what_is_left_out_has_a_reason(finished: Path) -> None:
    rejected = pd.read_csv(finished / MINE / "rejected.csv").set_index("path")["reason"]
    assert "no speech of 1 s or more was found in it" in rejected["music.mp3"]
    assert "no speech of 1 s or more was found in it" in rejected["hiss.wav"]
    table = segments(finished)
    (beyond,) = table[table["criterion"] == "subtitles"]["reason"]
    assert "beyond the recording's end" in beyond
    hours = pd.read_csv(finished / MINE / "hours.csv").set_index("criterion")
    assert hours.loc["kept", "minutes"] > 0.5
    assert "subtitles" in hours.index


def test_nothing_is_left_to_do(finished: Path, snakemake: Snakemake) -> None:
    assert snakemake(finished, "-n").succeeded().jobs == []


def mend(folder: Path) -> str:
    """The page in a browser: a text is mended and the labels saved beside the recordings."""
    with opened(folder / MINE / "labels.html") as tab:
        text = tab.get_by_role("textbox", name="Text").first
        text.fill("This is what was really said there.")
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Save labels.tsv").click()
        download.value.save_as(folder / "podcasts/labels.tsv")
    return (folder / "podcasts/labels.tsv").read_text("utf-8")


def test_a_text_that_is_proofread(folder: Path, snakemake: Snakemake) -> None:
    """Text and what follows is made again; no audio is read, nothing recognised or encoded."""
    saved = mend(folder)
    assert "This is what was really said there." in saved
    planned = snakemake(folder, "-n").succeeded()
    assert {"index", "filter", "collect", "proofread", "tokenize_text"} <= set(planned.rules)
    assert not BEFORE & set(planned.rules)
    assert sum(job.startswith("filter ") for job in planned.jobs) == 1
    target = f"{MINE}/cuts_train.jsonl.gz"
    snakemake(folder, target, *small.ONE_THREAD).succeeded()
    said = SupervisionSet.from_file(folder / MINE / "supervisions.jsonl.gz")
    assert "This is what was really said there." in {each.text for each in said}


def test_proofread_segments_keep_their_times(folder: Path, snakemake: Snakemake) -> None:
    mend(folder)
    labels = pd.read_csv(folder / "podcasts/labels.tsv", sep="\t", keep_default_na=False)
    row = labels.iloc[0]
    snakemake(
        folder,
        f"{MINE}/segments.csv",
        *small.ONE_THREAD,
        config=config(max_seconds=4.0),
    ).succeeded()
    table = segments(folder)
    (found,) = table[table["text"] == row["text"]].itertuples()
    assert (found.begin, found.end) == (row["begin"], row["end"])
    ours = table[(table["recording"] == row["recording"]) & (table["status"] == "")]
    assert ((ours["end"] <= row["begin"] + 0.1) | (ours["begin"] >= row["end"] - 0.1)).all()


def test_a_threshold_that_is_changed(folder: Path, snakemake: Snakemake) -> None:
    quality = {"quality": {"dnsmos": 1.5}}
    planned = snakemake(folder, "-n", config=config(**quality)).succeeded()
    assert {"filter", "collect"} <= set(planned.rules)
    assert not (BEFORE | {"index"}) & set(planned.rules)


def test_a_threshold_that_leaves_nothing_is_named(folder: Path, snakemake: Snakemake) -> None:
    quality = {"quality": {"dnsmos": 4.9}}
    made = snakemake(
        folder, f"{MINE}/segments.csv", *small.ONE_THREAD, config=config(**quality), timeout=120
    )
    assert made.returncode != 0
    assert "recordings.quality.dnsmos is 4.9" in made.output
    # and nothing is lost by it
    planned = snakemake(folder, "-n", config=config()).succeeded()
    assert not BEFORE & set(planned.rules)


def test_a_recording_more(folder: Path, snakemake: Snakemake) -> None:
    """Of audio, its own shard alone is worked on."""
    text = ["There is one more thing that I wanted to tell you today."]
    write_sound(speak(text, seed=9), folder / "podcasts/more.mp3")
    planned = snakemake(folder, "-n").succeeded()
    for rule in ("resample", "segment", "transcribe", "assess", "filter", "encode"):
        assert sum(job.split()[0] == rule for job in planned.jobs) == 1, rule


def test_a_bad_row_is_named(folder: Path, snakemake: Snakemake) -> None:
    row = "walk.mp3\t1.0\tsoon\tok\t\tSomething."
    header = "recording\tbegin\tend\tstatus\tspeaker\ttext"
    (folder / "podcasts/labels.tsv").write_text(f"{header}\n{row}\n", "utf-8")
    made = snakemake(folder, f"{MINE}/segments.csv", *small.ONE_THREAD)
    assert made.returncode != 0
    assert "labels.tsv: line 2: end is 'soon': write seconds as in 12.5" in made.output
