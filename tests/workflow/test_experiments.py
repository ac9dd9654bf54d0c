"""The record's experiments in miniature, in one run of the workflow; and what a change reruns."""

import json
import pathlib
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from lhotse import CutSet
from safetensors.torch import load_file

from revoice.codec.encodec import EncodecModel
from revoice.config import SPLITS, Config
from revoice.config_file import load_config
from revoice.corpus.split import text_key
from revoice.files import read_json, sha256
from revoice.model.pretrained import read_checkpoint
from revoice.model.valle import AR, NAR, ModelConfig, tied_tensors
from revoice.text import load_tokenizer
from tests.conftest import ROOT
from tests.helpers import small
from tests.helpers.small import ONE_THREAD
from tests.workflow.conftest import Run, Snakemake, copy_project, set_aside

FEW: dict[str, Any] = {
    "steps": 2,
    "batch_seconds": 10,
    "log_every": 1,
    "valid_every": 2,
    "checkpoint_every": 2,
}
PHASES = ["AR Initial Valid", "AR Initial Test", "NAR Initial Valid", "NAR Initial Test"]
PHASES += ["AR Train", "AR Valid", "AR Test", "NAR Train", "NAR Valid", "NAR Test"]
VALLEX = ModelConfig("vallex", 64, 1, 1, 2048, languages=("en", "zh", "ja"), pad=3)
VALLE = ModelConfig("valle", 64, 1, 1, 48)


def miniature() -> dict[str, Any]:
    """`config/record.yaml` on other recordings, each training of two steps, scored by nothing."""
    config = yaml.safe_load((ROOT / "config/record.yaml").read_text("utf-8"))
    config["corpora"]["asterisk"] = {"kind": "folder", "path": "audio"}
    config["split"] = small.config()["split"]
    for experiment in config["experiments"].values():
        for part in {"ar", "nar"} & experiment.keys():
            experiment[part].pop("epochs", None)
            experiment[part] |= FEW
        if "extends" not in experiment:
            experiment["limits"] = {"min_seconds": 0.1}
    config["evaluation"] = {"max_train_cuts": 10}
    config["synthesis"] |= {"sentences": 1, "prompt_seconds": 0.3}
    config["score"] = small.UNSCORED
    return config


def write_libritts(spoken: Path, digits: Path, folder: Path, parts: list[str]) -> None:
    """LibriTTS in its own layout as a download leaves it, with spoken digits in both parts."""
    for path in (spoken / "LibriTTS").rglob("*.*"):
        there = folder / path.relative_to(spoken / "LibriTTS")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
    train, test = parts
    for path in sorted(digits.glob("*/?_*.wav")):
        there = folder / (test if path.name[0] in "01" else train) / path.parent.name / "1"
        there.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there / path.name)
        shutil.copyfile(path.with_suffix(".txt"), there / f"{path.stem}.normalized.txt")
    for part in parts:
        (folder / part / ".completed").touch()


def write_original(path: Path, config: ModelConfig = VALLEX) -> None:
    """A small model with random weights, as its trainer would save it."""
    torch.manual_seed(4)
    content = {
        "model": AR(config).state_dict() | NAR(config).state_dict(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.05, "clipping_scale": 2.0}]},
        "params": {"exp_dir": pathlib.PosixPath("exp/valle"), "train": {pathlib.PurePath("a")}},
        "batch_idx_train": 1,
    }
    path.parent.mkdir(parents=True)
    torch.save(content, path)


def write_encodec(project: Path, folder: Path) -> None:
    """EnCodec with random weights where its own would be, and their digest where that is looked up.

    What the record starts from was trained on EnCodec's codes: no other codec may step in.
    """
    torch.manual_seed(5)
    state = EncodecModel.encodec_model_24khz(pretrained=False).state_dict()
    for name, value in state.items():
        if name.endswith("codebook.embed"):
            torch.nn.init.normal_(value, std=0.05)
    published = yaml.safe_load((project / "resources/pretrained.yaml").read_text("utf-8"))
    weights = folder / "data/codec" / Path(published["encodec_24khz"]["url"]).name
    weights.parent.mkdir(parents=True)
    torch.save(state, weights)
    published["encodec_24khz"]["sha256"] = sha256(weights)
    (project / "resources/pretrained.yaml").write_text(yaml.safe_dump(published), "utf-8")


@dataclass(frozen=True)
class Record:
    """A folder in which the record ran to its end."""

    folder: Path
    values: dict[str, Any]  # config.yaml
    config: Config
    run: Run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project of our own, since its table of published weights changes."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def snakemake(snakemake: Snakemake, project: Path) -> Snakemake:
    """The workflow of the project's copy."""
    return partial(snakemake, project=project)


@pytest.fixture(scope="module")
def record(
    spoken: Path, project: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory
) -> Record:
    """All experiments in one call. The checkpoint was put there, LibriTTS arrives on the way."""
    folder = tmp_path_factory.mktemp("record")
    values = miniature()
    config = load_config(values)
    libritts = config.corpora["libritts"]
    small.write_corpus(spoken, folder / "audio")
    arriving = folder / f"{libritts.path}.part" / "LibriTTS"
    write_libritts(spoken, folder / "audio", arriving, libritts.subsets)
    write_original(folder / "data/pretrained/vallex.pt")
    write_encodec(project, folder)
    targets = ["all", "results/run2/model.pt"]
    run = snakemake(folder, *targets, *ONE_THREAD, config=values, timeout=3000).succeeded()
    return Record(folder, values, config, run)


@pytest.fixture
def copy(record: Record) -> Iterator[Path]:
    """The folder, to change: afterwards all is as it was, every file's time too."""
    with set_aside(record.folder):
        yield record.folder


def test_stages_in_common_run_once(record: Record) -> None:
    jobs = ["fetch_codec encodec", "fit_codec encodec"]
    jobs += ["fetch_pretrained vallex", "import_checkpoint vallex"]
    jobs += ["fetch_recipe libritts", "export_checkpoint run2", "summarize"]
    for corpus in record.config.corpora:
        jobs += [f"index {corpus}", f"manifests {corpus}", f"check_limits {corpus}"]
        jobs += [f"tokenize_text {corpus}.vallex"]
        for shard in (record.folder / "results/corpora" / corpus / "shards").glob("*.tsv"):
            jobs += [f"resample {corpus}/{shard.stem}", f"encode {corpus}/encodec/{shard.stem}"]
    rules = (
        "select_cuts train_ar train_nar assemble voices evaluate synthesize score tabulate".split()
    )
    jobs += [f"{rule} {name}" for rule in rules for name in record.config.experiments]
    assert record.run.jobs == sorted(jobs)


def test_every_run_has_the_records_table(record: Record) -> None:
    assert list(record.config.experiments) == [f"run{number}" for number in range(2, 8)]
    for name in record.config.experiments:
        table = pd.read_csv(record.folder / f"results/{name}/table.csv")
        phases = table[table["quantizer"].isna()]
        assert phases["Phase"].tolist() == PHASES
        assert table["loss"].gt(0).all()
        assert table["Top10Accuracy"].between(0, 1).all()
        assert sorted(table["quantizer"].dropna()) == sorted([*range(1, 8)] * 3)
        shown = (record.folder / f"results/{name}/table.md").read_text("utf-8").splitlines()
        assert [cell.strip() for cell in shown[0].strip("|").split("|")] == [
            "Phase",
            "loss",
            "Top10Accuracy",
        ]
        assert [line.split("|")[1].strip() for line in shown[2 : 2 + len(PHASES)]] == PHASES
        assert (record.folder / f"results/{name}/curves.svg").stat().st_size
        losses = phases.set_index("Phase")["loss"]
        assert losses["AR Initial Valid"] != losses["AR Valid"]
        if not record.config.experiments[name].nar:
            assert losses["NAR Initial Valid"] == losses["NAR Valid"]


def test_the_summary_says_what_differs(record: Record) -> None:
    summary = pd.read_csv(record.folder / "results/summary.csv", index_col="experiment")
    assert list(summary.index) == list(record.config.experiments)
    for name, experiment in record.config.experiments.items():
        assert experiment.ar
        row = summary.loc[name]
        assert float(row["ar.lr"]) == experiment.ar.lr
        assert row["ar.optimizer"] == experiment.ar.optimizer
        assert row["ar.schedule"] == experiment.ar.schedule
        assert row["corpora"] == ", ".join(experiment.corpora)
        trainable = experiment.ar.trainable
        assert row["ar.trainable"] == (trainable if trainable == "all" else ", ".join(trainable))
        assert row["nar"] == ("trained" if experiment.nar else "not trained")
        if experiment.nar:
            assert float(row["nar.lr"]) == experiment.nar.lr
        dev = read_json(record.folder / f"results/{name}/evaluation.json")["ar"]["dev"]
        assert row["AR Valid loss"] == pytest.approx(dev["loss"])
        assert row["AR peak memory MB"] > 0
    assert not {"tokenizer", "init", "ar.steps", "ar.seed"} & set(summary.columns)
    shown = (record.folder / "results/summary.md").read_text("utf-8")
    assert all(f"| {name}" in shown for name in record.config.experiments)


@pytest.mark.parametrize("number", range(2, 8))
def test_what_is_not_trained_is_as_published(record: Record, number: int) -> None:
    published = load_file(record.folder / "results/pretrained/vallex/model.safetensors")
    result = load_file(record.folder / f"results/run{number}/model.safetensors")
    changed = {name for name in published if not torch.equal(published[name], result[name])}
    assert result.keys() == published.keys()

    experiment = record.config.experiments[f"run{number}"]
    for part in ("ar", "nar"):
        stage = getattr(experiment, part)
        own = {name for name in published if name.startswith(f"{part}_")}
        globs = ["*"] if stage and stage.trainable == "all" else stage.trainable if stage else []
        trained = {name for name in own if any(fnmatchcase(name, glob) for glob in globs)}
        for pair in tied_tensors(8):  # both names are one tensor
            trained |= set(pair) if trained & set(pair) else set()
        assert changed & own <= trained
        if part == "ar":
            # positions are added to text and audio with a factor that is trained
            assert changed & own == trained
        elif stage:  # the two steps trained two of the seven quantizers at most
            assert changed & own
    assert changed


def test_the_checkpoint_by_hand_is_recorded_and_comes_back(record: Record) -> None:
    original = record.folder / "data/pretrained/vallex.pt"
    got = read_json(record.folder / "data/pretrained/vallex.json")
    assert (got["sha256"], got["verified"]) == (sha256(original), False)
    before = read_checkpoint(original)
    after = read_checkpoint(record.folder / "results/run2/model.pt")
    assert after.keys() == before.keys()
    trained = {name for name in before if name.startswith("ar_predict_layer.")}
    assert trained
    assert {name for name in before if not torch.equal(before[name], after[name])} == trained


def test_subsets_of_libritts_are_the_splits(record: Record) -> None:
    corpus = record.config.corpora["libritts"]
    folder = record.folder / "results/run6/cuts"
    cuts = {split: list(CutSet.from_file(folder / f"{split}.jsonl.gz")) for split in SPLITS}
    for split, parts in {"train": ["train"], "dev": ["train"], "test": ["test"]}.items():
        given = [part for part, of in corpus.splits.items() if of in parts]
        allowed = tuple(f"libritts-{part}-" for part in given)
        assert cuts[split]
        assert all(cut.recording_id.startswith(allowed) for cut in cuts[split])
    texts = {split: {text_key(cut.supervisions[0].text) for cut in cuts[split]} for split in SPLITS}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["dev"]
    assert not (record.folder / f"{corpus.path}.part").exists()


def test_a_model_by_lifeitengs_trainer(record: Record, copy: Path, snakemake: Snakemake) -> None:
    """Its checkpoint and its symbol table: what the ids mean stays, new symbols are appended."""
    config: dict[str, Any] = json.loads(json.dumps(record.values))
    stage = {"lr": 1e-3, **FEW}
    config["experiments"] = {
        "mine": {
            "corpora": ["asterisk"],
            "init": "models/best.pt",
            "limits": {"min_seconds": 0.1, "min_frames_per_symbol": 0},
            "ar": stage | {"concatenate_seconds": 3},
        }
    }
    write_original(copy / "models/best.pt", VALLE)
    target = "results/mine/sentences.csv"
    run = snakemake(copy, "-n", target, *ONE_THREAD, config=config)
    assert run.returncode != 0
    assert "put it at models/unique_text_tokens.k2symbols" in run.output

    known = sorted(set("_ z ɪ ɹ oʊ w ʌ n t uː θ iː f".split()))
    lines = [f"{symbol} {number}\n" for number, symbol in enumerate(["<eps>", *known])]
    (copy / "models/unique_text_tokens.k2symbols").write_text("".join(lines), "utf-8")
    snakemake(copy, target, "results/mine/evaluation.json", *ONE_THREAD).succeeded()
    tokenizer = load_tokenizer(copy / "results/mine/tokenizer.json")
    table = ["<pad>", "<bos>", "<eos>", "<eps>", *known]
    assert tokenizer.symbols[: len(table)] == table
    assert len(table) < tokenizer.num_symbols
    assert tokenizer.ends == (1, 2)
    (imported,) = (copy / "results/pretrained").glob("best-*/model.safetensors")
    before = load_file(imported)
    after = load_file(copy / "results/mine/model.safetensors")
    embedding = "ar_text_embedding.word_embeddings.weight"
    assert len(after[embedding]) == max(VALLE.text_symbols, tokenizer.num_symbols)
    moved = (after[embedding][: len(before[embedding])] - before[embedding]).abs().amax(1)
    assert min(moved[1], moved[2]) > 10 * moved[0]  # BOS and EOS are read, PAD decays alone

    # What came of it is given on, with its symbols
    (copy / "given").mkdir()
    for name in ("model.safetensors", "model.json", "tokenizer.json"):
        shutil.copyfile(copy / "results/mine" / name, copy / "given" / name)
    config["experiments"]["mine"]["init"] = "given/model.safetensors"
    jobs = snakemake(copy, "-n", target, *ONE_THREAD, config=config).succeeded().jobs
    assert any(job.startswith("tokenize_text asterisk.espeak@given-") for job in jobs)
    assert not any(job.startswith(("import_checkpoint", "encode")) for job in jobs)

    # ... and with its codec, which needs no other configuration
    for name in ("codec.json", "codec.safetensors"):
        shutil.copyfile(copy / "results/mine" / name, copy / "given" / name)
    jobs = snakemake(copy, target, *ONE_THREAD, config=config, timeout=1200).succeeded().jobs
    (fetched,) = (job.split()[1] for job in jobs if job.startswith("fetch_codec"))
    assert fetched.startswith("given-")
    assert f"fit_codec {fetched}" in jobs
    assert any(job.startswith(f"encode asterisk/{fetched}/") for job in jobs)
    given, taken = (copy / f"{at}/codec.json" for at in ("given", f"results/codecs/{fetched}"))
    assert read_json(taken)["sha256"] == read_json(given)["sha256"]
    assert "came with given/codec.json" in read_json(taken)["reason"]
    (copy / "given/codec.json").unlink()
    (copy / "given/model.json").unlink()
    shutil.rmtree(copy / "results/mine")
    run = snakemake(copy, "-n", target, *ONE_THREAD, config=config)
    assert run.returncode != 0
    assert "given/model.json" in run.output
    config["experiments"]["mine"]["tokenizer"] = "vallex"
    run = snakemake(copy, "-n", target, *ONE_THREAD, config=config)
    assert run.returncode != 0
    assert "given/tokenizer.json is a table of the tokenizer espeak" in run.output


def test_an_edit_of_world_runs_nothing_while_encodec_is_the_codec(
    record: Record, copy: Path, project: Path, snakemake: Snakemake
) -> None:
    world, encodec = (project / f"revoice/codec/{name}.py" for name in ("world", "encodec"))
    before = {path: path.read_text("utf-8") for path in (world, encodec)}
    world.write_text(before[world] + "\nEDITED = True\n", "utf-8")
    assert snakemake(copy, "-n", *ONE_THREAD).succeeded().jobs == []
    encodec.write_text(before[encodec] + "\nEDITED = True\n", "utf-8")
    jobs = snakemake(copy, "-n", *ONE_THREAD).succeeded().jobs
    assert {"fit_codec encodec", "train_ar run3"} <= set(jobs)
    for path, text in before.items():
        path.write_text(text, "utf-8")


def test_nothing_steps_in_for_the_codec_that_a_model_was_trained_on(
    record: Record, copy: Path, snakemake: Snakemake
) -> None:
    """Said before anything is encoded."""
    shutil.rmtree(copy / "data/codec")
    config: dict[str, Any] = json.loads(json.dumps(record.values))
    encodec = {"fallback": "world", "url": "http://127.0.0.1:9/nobody/listens.th"}
    config["codecs"] = {"encodec": encodec}
    run = snakemake(copy, "results/run2/ar/model.safetensors", *ONE_THREAD, config=config)
    assert run.returncode != 0
    assert run.jobs == ["fetch_codec encodec"]
    assert "WORLD cannot step in: the model that experiment run2" in run.output
    config["experiments"]["run2"]["codec"] = "world"
    run = snakemake(copy, "-n", config=config)
    assert run.returncode != 0
    assert "experiments.run2: `init: vallex` was trained on EnCodec's codes" in run.output


def changed_run(record: Record, name: str, part: str, **values: Any) -> dict[str, Any]:
    """The record's configuration with other values in one stage."""
    config: dict[str, Any] = json.loads(json.dumps(record.values))
    config["experiments"][name].setdefault(part, {}).update(values)
    return config


def test_the_nars_learning_rate_retrains_the_nar_alone(
    record: Record, copy: Path, snakemake: Snakemake
) -> None:
    def after(rule: str) -> list[str]:
        rules = [rule, "assemble", "voices", "evaluate", "synthesize", "score", "tabulate"]
        return sorted([*(f"{rule} run3" for rule in rules), "summarize"])

    # run3 has an AR of its own; nothing extends run3
    config = changed_run(record, "run3", "ar", lr=3e-6)
    assert snakemake(copy, "-n", *ONE_THREAD, config=config).succeeded().jobs == after("train_ar")

    ar = sha256(copy / "results/run3/ar/model.safetensors")
    nar = sha256(copy / "results/run3/nar/model.safetensors")
    config = changed_run(record, "run3", "nar", lr=3e-6)
    run = snakemake(copy, *ONE_THREAD, config=config, timeout=1200).succeeded()
    assert run.jobs == after("train_nar")
    assert sha256(copy / "results/run3/ar/model.safetensors") == ar
    assert sha256(copy / "results/run3/nar/model.safetensors") != nar
    assert snakemake(copy, "-n", *ONE_THREAD).succeeded().jobs == []


def test_the_record_at_full_size(tmp_path: Path, snakemake: Snakemake) -> None:
    """The configuration as it stands, in an empty folder: nothing is fetched yet."""
    shutil.copyfile(ROOT / "config/record.yaml", tmp_path / "config.yaml")
    run = snakemake(tmp_path, "-n").succeeded()
    expected = "fetch_codec fit_codec fetch_corpus fetch_recipe fetch_pretrained import_checkpoint"
    expected += " resample manifests encode tokenize_text select_cuts train_ar train_nar assemble"
    expected += (
        " voices evaluate synthesize fetch_recognizer score tabulate summarize index check_limits"
    )
    assert run.rules == sorted(expected.split())
    experiments = load_config(yaml.safe_load((tmp_path / "config.yaml").read_text())).experiments
    for rule in ("select_cuts", "train_ar", "train_nar", "assemble", "evaluate", "score"):
        jobs = [job for job in run.jobs if job.startswith(f"{rule} ")]
        assert jobs == sorted(f"{rule} {name}" for name in experiments)
    assert not (tmp_path / "results/run2").exists()


def growing(record: Record) -> dict[str, Any]:
    """Further experiments beside the record: a model that starts from another, a new language."""
    config: dict[str, Any] = json.loads(json.dumps(record.values))
    for language in small.COUNTING:
        config["corpora"][language] = {"kind": "table", "path": f"{language}.csv"}
    stage = {"lr": 1e-3, **FEW}
    common = {"limits": {"min_seconds": 0.1, "min_frames_per_symbol": 0}, "ar": stage}
    model = {"width": 32, "layers": 1, "heads": 2, "nar": "at_once"}
    config["experiments"] |= {
        "first": common | {"corpora": ["en"], "nar": stage, "model": model},
        "second": common | {"corpora": ["es"], "init": "first"},
        "grown": common
        | {
            "corpora": ["es"],
            "tokenizer": "vallex",
            "init": "vallex",
            "new_languages": {"es": "en"},
        },
        "further": common | {"corpora": ["es"], "tokenizer": "vallex", "init": "grown"},
    }
    return config


def test_models_grow_from_others(record: Record, copy: Path, snakemake: Snakemake) -> None:
    """A symbol table goes on where that of `init` ends; a new language gets a row of its own."""
    speaker = random.Random(4).choice(sorted(p.parent.name for p in copy.glob("audio/*/0_*.wav")))
    for language in small.COUNTING:
        small.write_counting(copy, speaker, language)
    config = growing(record)
    targets = [f"results/{name}/evaluation.json" for name in ("second", "grown")]
    targets += ["results/further/ar/model.safetensors"]
    run = snakemake(copy, *targets, *ONE_THREAD, config=config, timeout=1800).succeeded()

    # What the record has made stands; `second` starts from the parts of `first`
    jobs = [f"{rule} {name}" for rule in ("assemble", "evaluate") for name in ("grown", "second")]
    for language in small.COUNTING:
        jobs += [f"index {language}", f"manifests {language}", f"check_limits {language}"]
        for shard in (copy / "results/corpora" / language / "shards").glob("*.tsv"):
            jobs += [f"resample {language}/{shard.stem}", f"encode {language}/encodec/{shard.stem}"]
    texts = ["en.espeak", "es.espeak@first", "es.vallex+es", "es.vallex@grown"]
    jobs += [f"tokenize_text {text}" for text in texts]
    for rule in ("select_cuts", "train_ar", "train_nar"):
        jobs += [f"{rule} {name}" for name in ("first", "second", "grown")]
    jobs += ["select_cuts further", "train_ar further"]
    assert run.jobs == sorted(jobs)

    for name in ("second", "grown"):  # which train the AR alone, and start from what has grown
        evaluation = read_json(copy / f"results/{name}/evaluation.json")
        for split in ("dev", "test"):
            initial, trained = evaluation["initial"], evaluation
            same = pytest.approx(trained["nar"][split]["loss"], rel=1e-5)
            assert initial["nar"][split]["loss"] == same
            assert initial["ar"][split]["loss"] != pytest.approx(
                trained["ar"][split]["loss"], rel=1e-5
            )

    tokenizers = [load_tokenizer(copy / f"results/text/{text}/tokenizer.json") for text in texts]
    first, second, vallex, further = (tokenizer.symbols for tokenizer in tokenizers)
    assert second[: len(first)] == first
    assert len(second) > len(first)
    embedding = "nar_text_embedding.word_embeddings.weight"
    before = load_file(copy / "results/first/nar/model.safetensors")
    after = load_file(copy / "results/second/model.safetensors")
    assert len(after[embedding]) == len(second)
    assert torch.equal(after.pop(embedding)[: len(first)], before.pop(embedding))
    assert all(torch.equal(after[name], before[name]) for name in before)

    published = load_file(copy / "results/pretrained/vallex/model.safetensors")
    after = load_file(copy / "results/grown/model.safetensors")
    meta = read_json(copy / "results/grown/model.json")
    assert meta["model"]["languages"] == ["en", "zh", "ja", "es"]
    assert len(vallex) <= meta["model"]["text_symbols"]
    assert further == vallex
    languages = "nar_language_embedding.word_embeddings.weight"
    assert torch.equal(after[languages][:3], published[languages])
    assert torch.equal(after[languages][3], published[languages][0])
    assert not torch.equal(after["ar_predict_layer.weight"], published["ar_predict_layer.weight"])

    # The AR of `second` does not hang on the NAR of `first`
    config["experiments"]["first"]["nar"] = {**config["experiments"]["first"]["nar"], "lr": 2e-3}
    run = snakemake(copy, "-n", *targets, *ONE_THREAD, config=config).succeeded()
    jobs = ["assemble second", "evaluate second", "train_nar first", "train_nar second"]
    assert run.jobs == jobs
