"""Scores: who hears them, and sentences that are spoken several times."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from revoice.files import read_json
from tests.helpers.small import UNSCORED
from tests.workflow.conftest import Finished, Snakemake

CHOICE = "results/recognizers/base/choice.json"
TABLE = "results/tiny/scores.md"
HEARING = {"score": UNSCORED | {"recognizer": "whisper"}}


def configured(finished: Finished, **values: Any) -> dict[str, Any]:
    config = yaml.safe_load((finished.folder / "config.yaml").read_text("utf-8"))
    return config | HEARING | values


def columns(folder: Path, file: str) -> pd.DataFrame:
    return pd.read_csv(folder / "results/tiny" / file)


def test_whisper_hears_each_sentence_twice(restored: Finished, snakemake: Snakemake) -> None:
    folder, project = restored.folder, restored.project
    config = configured(restored, synthesis={"sentences": 2, "prompt_seconds": 0.3, "repeats": 2})
    snakemake(folder, CHOICE, config=config, project=project).succeeded()
    choice = read_json(folder / CHOICE)
    if choice["folder"] is None:
        pytest.skip(choice["reason"])
    run = snakemake(folder, TABLE, project=project).succeeded()
    assert "synthesize tiny" in run.jobs
    assert "fetch_recognizer base" not in run.jobs
    sentences = columns(folder, "sentences.csv")
    assert sentences["seed"].tolist() == [1, 2, 1, 2]
    assert sentences["id"].nunique() == 2
    clips = columns(folder, "scores_per_sentence.csv").set_index("kind")
    assert clips.groupby("kind").size().to_dict() == {
        "recording": 2,
        "reconstruction": 2,
        "synthesis": 4,
    }
    assert clips.loc["synthesis", "seed"].tolist() == [1, 2, 1, 2]
    assert clips.loc["recording", "duration"].gt(0).all()
    assert set(clips.loc["recording", "heard_by"]) == {"whisper base (sha256 d01c3014)"}
    scores = columns(folder, "scores.csv").set_index("row")
    assert float(scores.loc["Recording", "wer"]) >= 0  # a number: the words are few
    assert scores.loc["Synthesis", "words"] == 2 * scores.loc["Recording", "words"]
    assert 0 <= scores.loc["Synthesis", "ended"] <= 1
    table = (folder / TABLE).read_text("utf-8")
    assert "2 sentences, 2 times each" in table
    assert f"- recognizer: whisper base (sha256 d01c3014); {choice['reason']}" in table


def test_pocketsphinx_where_nothing_can_be_had(restored: Finished, snakemake: Snakemake) -> None:
    folder = restored.folder
    nobody = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    nobody |= {"no_proxy": "", "NO_PROXY": "", "PIP_NO_INDEX": "1"}
    nobody["PIP_FIND_LINKS"] = str(folder)  # where no packages are
    values, project = configured(restored), restored.project
    run = snakemake(folder, TABLE, config=values, project=project, environment=nobody).succeeded()
    assert run.jobs == ["fetch_recognizer base", "score tiny", "tabulate tiny"]
    fetching = (folder / "logs/fetch_recognizer/base.log").read_text("utf-8")
    assert "pocketsphinx steps in" in fetching
    log = (folder / "logs/score/tiny.log").read_text("utf-8")
    for told in (log, (folder / TABLE).read_text("utf-8")):
        assert "fallback, because the weights of whisper-base cannot be had" in told
    scores = columns(folder, "scores.csv")
    assert scores["heard_by"].str.startswith("pocketsphinx ").all()
