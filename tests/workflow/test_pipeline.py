"""The whole workflow, run once on a little real speech with tiny models, then looked at."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lhotse import (
    CutSet,
    RecordingSet,
    SupervisionSet,
    validate,
    validate_recordings_and_supervisions,
)

from revoice.codec.world import WorldCodec
from revoice.evaluation.scoring import KINDS
from revoice.files import read_json, sha256
from revoice.model import PARTS
from revoice.report.tables import PHASES
from revoice.text import load_tokenizer
from revoice.training.metrics import COLUMNS
from tests.helpers.browser import check_page
from tests.workflow.conftest import Finished, Snakemake

EXPERIMENTS = ("tiny", "other")
SPLITS = ("train", "dev", "test")
CORPUS = Path("results/corpora/small")


@pytest.fixture(autouse=True)
def here(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the folder of the finished run, which the paths in its files start from."""
    monkeypatch.chdir(finished.folder)
    return finished.folder


def cuts_of(experiment: str, split: str) -> CutSet:
    return CutSet.from_jsonl(f"results/{experiment}/cuts/{split}.jsonl.gz")


def test_every_job_ran_once(finished: Finished) -> None:
    shards = [path.stem for path in (CORPUS / "shards").glob("*.tsv")]
    assert len(shards) >= 10
    per_shard = [f"resample small/{shard}" for shard in shards]
    per_shard += [f"encode small/world/{shard}" for shard in shards]
    once = [
        "fetch_codec world",
        "fit_codec world",
        "index small",
        "manifests small",
        "check_limits small",
        "tokenize_text small.vallex",
        "summarize",
    ]
    rules = "select_cuts train_ar train_nar assemble voices evaluate synthesize score tabulate"
    per_experiment = [f"{rule} {name}" for rule in rules.split() for name in EXPERIMENTS]
    assert finished.run.jobs == sorted([*per_shard, *once, *per_experiment])


def test_a_second_run_does_nothing(finished: Finished, snakemake: Snakemake) -> None:
    run = snakemake(finished.folder, project=finished.project).succeeded()
    assert run.jobs == []
    assert "Nothing to be done" in run.output


def test_manifests_are_valid_and_split() -> None:
    recordings = RecordingSet.from_jsonl(CORPUS / "recordings.jsonl.gz")
    supervisions = SupervisionSet.from_jsonl(CORPUS / "supervisions.jsonl.gz")
    validate_recordings_and_supervisions(recordings, supervisions)
    files = pd.read_csv(CORPUS / "files.csv")
    assert (
        len(recordings) == files["reason"].isna().sum() == len(list(Path("audio").rglob("*.wav")))
    )
    ids = []
    for split in SPLITS:
        cuts = CutSet.from_jsonl(CORPUS / f"cuts_{split}.jsonl.gz")
        validate(cuts, read_data=True)
        assert len(cuts) > 0
        ids += list(cuts.ids)
    assert sorted(ids) == sorted(recording.id for recording in recordings)


def test_codes_of_every_recording() -> None:
    encoded = 0
    for path in (CORPUS / "codes/world").glob("*.jsonl.gz"):
        for cut in CutSet.from_jsonl(path):
            codes = cut.codes.load()
            frames = math.ceil(cut.recording.num_samples / WorldCodec.hop)
            assert codes.shape == tuple(cut.codes.shape) == (frames, 8)
            assert codes.dtype == np.int16
            assert codes.min() >= 0
            assert codes.max() < 1024
            assert cut.codes.frame_shift == pytest.approx(1 / WorldCodec.frame_rate)
            encoded += 1
    assert encoded == len(RecordingSet.from_jsonl(CORPUS / "recordings.jsonl.gz"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_cuts_that_training_reads(experiment: str) -> None:
    tokenizer = load_tokenizer("results/text/small.vallex/tokenizer.json")
    texts: dict[str, set[str]] = {}
    for split in SPLITS:
        cuts = cuts_of(experiment, split)
        validate(cuts)
        for cut in cuts:
            (supervision,) = cut.supervisions
            assert cut.load_codes().shape[1] == 8
            assert supervision.phonemes
            assert supervision.tokens == tokenizer(supervision.text, "en").ids
            assert supervision.token_languages == ["en"] * len(supervision.tokens)
            assert max(supervision.tokens) < tokenizer.num_symbols
        # the same words are the same text, however they are written
        texts[split] = {"".join(filter(str.isalpha, c.supervisions[0].text.lower())) for c in cuts}
        assert texts[split]
    assert not texts["test"] & (texts["train"] | texts["dev"])
    assert not texts["dev"] & texts["train"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_tables_and_what_made_them(experiment: str) -> None:
    folder = Path("results") / experiment
    table = pd.read_csv(folder / "table.csv")
    rows = table[table["quantizer"].isna()]
    expected = [f"{part.upper()} {phase}" for part in PARTS for phase in PHASES.values()]
    assert rows["Phase"].to_list() == expected
    per_quantizer = table[table["quantizer"].notna()].groupby("Phase")["quantizer"].apply(list)
    assert per_quantizer.to_dict() == {f"NAR {p}": list(range(1, 8)) for p in PHASES.values()}
    assert np.isfinite(table[["loss", "Top10Accuracy"]]).all(axis=None)
    markdown = (folder / "table.md").read_text("utf-8")
    for phase in expected:
        assert f"| {phase} " in markdown
    counts = ", ".join(f"{len(cuts_of(experiment, split))} {split}" for split in SPLITS)
    assert f"- data: small: {counts} cuts" in markdown
    assert f"- codec: {read_json('results/codecs/world/codec.json')['describe']}" in markdown
    digest = sha256(folder / "model.safetensors")[:8]
    assert f"- checkpoint: {folder}/model.safetensors (sha256 {digest})" in markdown
    assert f"(sha256 {digest})" in (folder / "scores.md").read_text("utf-8")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_metrics_of_a_training(experiment: str, part: str) -> None:
    folder = Path("results") / experiment / part
    metrics = pd.read_csv(folder / "metrics.csv")
    assert metrics.columns.to_list() == COLUMNS
    for split in ("train", "dev"):
        rows = metrics[metrics["split"] == split]
        assert rows["step"].to_list() == [2, 4]
        assert np.isfinite(rows[["loss", "top10_accuracy"]]).all(axis=None)
    assert (metrics.loc[metrics["split"] == "train", "frames_per_second"] > 0).all()
    assert read_json(folder / "training.json")["steps"] == 4


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_sentences_and_scores(experiment: str) -> None:
    folder = Path("results") / experiment
    sentences = pd.read_csv(folder / "sentences.csv")
    tests = {cut.id: cut.supervisions[0] for cut in cuts_of(experiment, "test")}
    assert len(sentences) == 2
    for row in sentences.itertuples():
        assert tests[row.id].text == row.text
        assert tests[row.id].speaker == row.speaker
        assert row.prompt_id != row.id
    scores = pd.read_csv(folder / "scores.csv").set_index("row")
    assert scores.index.to_list() == list(KINDS.values())
    for column in ("wer", "similarity", "dnsmos", "duration", "words"):
        values = pd.to_numeric(scores.loc["Recording":"Codec reconstruction", column])
        assert np.isfinite(values).all()
    assert scores["heard_by"].str.startswith("pocketsphinx ").all()
    clips = pd.read_csv(folder / "scores_per_sentence.csv")
    assert sorted(clips["kind"]) == sorted([*KINDS] * len(sentences))
    spoken = clips[clips["kind"] == "synthesis"]
    assert set(spoken["seed"]) == {1}
    assert float(scores.loc["Synthesis", "ended"]) == pytest.approx(sentences["ended"].mean())


def test_summary_of_both_experiments() -> None:
    summary = pd.read_csv("results/summary.csv").set_index("experiment")
    assert summary.index.to_list() == list(EXPERIMENTS)
    assert summary["ar.lr"].to_list() == [1e-3, 5e-4]
    for experiment in EXPERIMENTS:
        evaluation = read_json(f"results/{experiment}/evaluation.json")
        for part in PARTS:
            loss = evaluation[part]["dev"]["loss"]
            assert summary.loc[experiment, f"{part.upper()} Valid loss"] == pytest.approx(loss)
    markdown = Path("results/summary.md").read_text("utf-8")
    for experiment in EXPERIMENTS:
        digest = sha256(f"results/{experiment}/model.safetensors")[:8]
        assert f"- {experiment}: data small" in markdown
        assert f"(sha256 {digest})" in markdown


def test_the_page_works(here: Path) -> None:
    check_page(here / "results/index.html", players=players_expected())


def test_the_page_works_wherever_results_are_copied(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree("results", tmp_path / "sent to a friend", symlinks=True)
    assert not any(path.is_symlink() for path in (copy / "media").iterdir())
    expected = players_expected()
    monkeypatch.chdir(tmp_path)
    check_page(copy / "index.html", players=expected)


def players_expected() -> int:
    """Recording, reconstruction and synthesis of each sentence, those that there are."""
    tables = [pd.read_csv(f"results/{name}/sentences.csv") for name in EXPERIMENTS]
    return sum(int(table[[*KINDS]].notna().sum().sum()) for table in tables)
