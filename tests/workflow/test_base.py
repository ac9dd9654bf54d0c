"""A voice that starts from the one of the project, trained and as it is."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from revoice.files import read_json, sha256
from revoice.model.pretrained import read_checkpoint
from revoice.text import load_tokenizer
from tests.conftest import ROOT
from tests.helpers import small
from tests.workflow.conftest import Run, Snakemake, copy_project
from tests.workflow.test_module import CONFIG, OUTER, run

LIMITS = {"min_seconds": 0.1, "min_frames_per_symbol": 0}


@dataclass(frozen=True)
class Based:
    """A project with a tiny base voice, and a folder in which two experiments started from it."""

    base: Path
    folder: Path
    run: Run


def configuration(language: str, **experiments: Any) -> dict[str, Any]:
    """The small configuration with these experiments on one who counts in a language."""
    common = {"corpora": [language], "limits": LIMITS}
    return small.config(
        corpora={language: {"kind": "table", "path": f"{language}.csv"}},
        experiments={name: common | values for name, values in experiments.items()},
        score=small.UNSCORED,
    )


@pytest.fixture(scope="module")
def based(spoken: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Based:
    """The base voice is trained for a few steps, in English: it lacks symbols of Spanish."""
    top = tmp_path_factory.mktemp("based")
    project, folder = copy_project(top / "project"), top / "folder"
    base = project / "resources/base"
    small.write_corpus(spoken, folder / "audio")
    stage = small.training()
    for speaker, language in (("george", "en"), ("jackson", "es")):
        small.write_counting(folder, speaker, language)
    values = configuration(
        "en",
        origin={
            "codec": "world",
            "model": {"width": 32, "layers": 1, "heads": 2},
            "ar": stage,
            "nar": stage,
        },
    )
    target = "results/origin/model.safetensors"
    snakemake(folder, target, *small.ONE_THREAD, config=values, project=project).succeeded()
    small.write_base(folder / "results/origin", base)
    shutil.rmtree(folder / "results")

    tuned = {"init": "base", "ar": stage, "nar": stage}
    values = configuration("es", tuned=tuned, as_it_is={"init": "base", "ar": None, "nar": None})
    targets = ["all", "results/tuned/model.pt"]
    made = snakemake(folder, *targets, *small.ONE_THREAD, config=values, project=project)
    return Based(base, folder, made.succeeded())


def test_names_say_base(based: Based) -> None:
    rules = {"fetch_codec base@es", "fit_codec base@es", "tokenize_text es.espeak@base"}
    assert rules <= set(based.run.jobs)
    assert not any(job.startswith("import_checkpoint") for job in based.run.jobs)
    codecs = {job.split("/")[1] for job in based.run.jobs if job.startswith("encode ")}
    assert codecs == {"base@es"}
    given, taken = based.base / "codec.json", based.folder / "results/codecs/base@es/codec.json"
    assert read_json(taken)["like"] == read_json(given)["sha256"] != read_json(taken)["sha256"]
    page = (based.folder / "results/index.html").read_text("utf-8")
    assert page.count("Started from <code>base</code>") == 2
    assert "nothing was trained" in page


def test_the_base_as_it_is_and_trained_on(based: Based) -> None:
    before = load_file(based.base / "model.safetensors")
    assert {value.dtype for value in before.values()} == {torch.float16}
    symbols = load_tokenizer(based.base / "tokenizer.json").symbols
    for name, trained in (("as_it_is", False), ("tuned", True)):
        folder = based.folder / "results" / name
        table = load_tokenizer(folder / "tokenizer.json").symbols
        assert table[: len(symbols)] == symbols
        assert len(table) > len(symbols), "those that the base lacks are added"
        after = load_file(folder / "model.safetensors")
        assert after.keys() == before.keys()
        assert {value.dtype for value in after.values()} == {torch.float32}
        embedding = after["ar_text_embedding.word_embeddings.weight"]
        assert len(embedding) == len(table)
        same = [torch.equal(after[key][: len(old)], old.float()) for key, old in before.items()]
        assert all(same) == (not trained)


def test_a_voice_without_training_speaks_and_is_measured(based: Based) -> None:
    folder = based.folder / "results/as_it_is"
    sentences = pd.read_csv(folder / "sentences.csv")
    assert len(sentences)
    assert list((folder / "synthesis").rglob("*.wav"))
    table = (folder / "table.md").read_text("utf-8")
    assert f"(sha256 {sha256(folder / 'model.safetensors')[:8]})" in table
    assert pd.read_csv(folder / "table.csv")["loss"].gt(0).all()
    summary = pd.read_csv(based.folder / "results/summary.csv", index_col="experiment")
    assert summary["ar"].to_dict() == {"tuned": "trained", "as_it_is": "not trained"}


def test_a_tuned_base_is_exported(based: Based) -> None:
    state = read_checkpoint(based.folder / "results/tuned/model.pt")
    for name, value in load_file(based.folder / "results/tuned/model.safetensors").items():
        assert torch.equal(state[name], value)


def test_the_default_run_fine_tunes_it(based: Based, tmp_path: Path, snakemake: Snakemake) -> None:
    shutil.copyfile(ROOT / "config.yaml", tmp_path / "config.yaml")
    made = snakemake(tmp_path, "-n", project=based.base.parents[1]).succeeded()
    jobs = {"tokenize_text asterisk.espeak@base", "fetch_codec base@asterisk", "train_ar demo"}
    assert jobs <= set(made.jobs)
    assert not {"fetch_codec encodec", "fetch_pretrained vallex"} & set(made.jobs)


def test_another_workflow_finds_it_beside_the_snakefile(based: Based, tmp_path: Path) -> None:
    project = based.base.parents[1]
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=project / "Snakefile"))
    demo = {"corpora": ["tones"], "init": "base"}
    values = {"corpora": CONFIG["corpora"], "experiments": {"demo": demo}}
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump({"revoice": values}))
    shutil.copytree(based.folder / "audio/george", tmp_path / "recordings")
    assert "tones.espeak@base" in run(tmp_path, "results/demo/model.safetensors", "--dry-run")
    run(tmp_path, "results/codecs/base@tones/choice.json")
    weights = Path(read_json(tmp_path / "results/codecs/base@tones/choice.json")["weights"])
    assert not weights.is_absolute()
    assert (tmp_path / weights).samefile(based.base / "codec.safetensors")


def test_a_base_that_is_not_there_is_said_at_once(based: Based, snakemake: Snakemake) -> None:
    folder, model = based.folder, based.base / "model.safetensors"
    aside = model.rename(model.with_suffix(".aside"))
    made = snakemake(folder, "-n", project=based.base.parents[1])
    aside.rename(model)
    assert made.returncode != 0
    assert "experiments.tuned takes the base voice, and ../project/resources/base/" in made.output
    assert "Traceback" not in made.output
    again = snakemake(folder, "-n", *small.ONE_THREAD, project=based.base.parents[1])
    assert again.succeeded().jobs == []
