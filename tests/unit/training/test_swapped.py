"""The AR's loss with another utterance's text: whether it reads."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from lhotse import CutSet

from revoice.files import read_json
from revoice.model.valle import AR, ModelConfig, Parts
from revoice.training.data import Batch, CodesDataset, load_batches, ordered_batches
from revoice.training.job import Job
from revoice.training.objective import measure, measure_swapped, swap_texts, text_gap
from revoice.training.train import train
from tests.helpers.synthetic import MODEL, write_cuts


@pytest.fixture
def batches(cuts: dict[str, str]) -> list[Batch]:
    some = CutSet.from_jsonl_lazy(cuts["train_cuts"])
    return list(load_batches(CodesDataset(0), ordered_batches(some, 1)))


def table(job: Job) -> pd.DataFrame:
    metrics = pd.read_csv(Path(job.out).parent / "metrics.csv")
    return metrics[metrics.split == "dev"].set_index("step")


def test_texts_are_swapped_whole() -> None:
    text, codes = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.ones(2, 4, 8).long()
    lens = torch.tensor([3, 2])
    other = swap_texts(Batch(text, lens, codes, torch.tensor([4, 1]), text + 10))
    assert other.text.tolist() == [[4, 5, 0], [1, 2, 3]]
    assert other.text_lens.tolist() == [2, 3]
    assert other.languages is not None
    assert other.languages.tolist() == [[14, 15, 10], [11, 12, 13]]
    assert other.code_lens.tolist() == [4, 1]
    assert other.codes is codes
    assert swap_texts(Batch(text, lens, codes, lens)).languages is None
    known = Parts(torch.tensor([[0, 1, 1], [0, 0, 0]]), torch.tensor([[2.0, 2.0], [1.0, 0.0]]))
    parts = Batch(text, lens, codes, lens, parts=known)
    assert parts.parts is not None
    assert swap_texts(parts).parts is None  # what is said in which part, nobody knows


def test_the_gap_is_that_of_batches_of_several(batches: list[Batch]) -> None:
    torch.manual_seed(1)
    model = AR(ModelConfig(**{**MODEL, "dropout": 0.0}))
    several = [batch for batch in batches if len(batch.text) > 1]
    assert 1 < len(several) < len(batches)
    sums = measure_swapped(model, batches, 100, "cpu")
    assert torch.equal(sums[0], measure("ar", model, several, "cpu")[0])
    expected = measure("ar", model, [swap_texts(b) for b in several], "cpu")[0]
    assert torch.equal(sums[1], expected)
    assert text_gap(sums) == pytest.approx(float(expected[0] - sums[0, 0]) / float(sums[0, 1]))
    assert sums[0, 1] > measure_swapped(model, batches, 1, "cpu")[0, 1]  # no more than asked for
    twins = Batch(*(t[[0, 0]] for t in list(vars(several[0]).values())[:4]))
    assert text_gap(measure_swapped(model, [twins], 8, "cpu")) == pytest.approx(0, abs=1e-6)
    assert text_gap(measure_swapped(model, [], 8, "cpu")) is None


def test_reading_shows_in_the_metrics(make_job: Callable[..., Job], tmp_path: Path) -> None:
    few = write_cuts(tmp_path / "few", 12)
    learnt = {"steps": 200, "valid_every": 50, "batch_seconds": 20, "lr": 1e-2}
    reading = make_job(train_cuts=few, dev_cuts=few, **learnt)
    summary = train(reading)
    dev = table(reading)
    assert (dev.swap_loss - dev.loss).iloc[-1] > 0.5
    assert dev.swap_loss.notna().all()
    assert summary["best_text_gap"] == pytest.approx(
        (dev.swap_loss - dev.loss)[summary["best_step"]], abs=1e-4
    )
    nar = make_job("nar", steps=5)
    assert train(nar)["best_text_gap"] is None
    assert table(nar).swap_loss.isna().all()
    assert table(nar).loss.notna().all()


def test_utterances_by_themselves_have_no_other_text(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(steps=5, dev_cuts=write_cuts(tmp_path / "dev", 1))
    train(job)
    assert table(job).swap_loss.isna().all()
    assert math.isfinite(table(job).loss.iloc[-1])
    assert read_json(Path(job.out).parent / "training.json")["best_text_gap"] is None
