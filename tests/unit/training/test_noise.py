"""The past that an AR reads in training, with noise in it."""

from collections.abc import Callable

import torch
from lhotse import CutSet

from revoice.model import PARTS
from revoice.model.valle import ModelConfig
from revoice.training.data import CodesDataset
from revoice.training.job import Job
from revoice.training.objective import batch_loss, disturbed
from revoice.training.train import train
from tests.helpers.synthetic import MODEL


def test_a_share_of_the_frames_is_replaced_by_others_of_the_batch() -> None:
    codes = torch.arange(1, 2001).reshape(2, 1000, 1).expand(-1, -1, 8).clone()
    lens = torch.tensor([1000, 600])
    codes[1, 600:] = 0  # padding, which nobody shall read in place of speech
    torch.manual_seed(1)
    result = disturbed(codes, lens, 0.2)
    assert (result == result[:, :, :1]).all()  # frames as a whole
    changed = result[:, :, 0] != codes[:, :, 0]
    assert 0.15 < changed.float().mean() < 0.25
    assert set(result[changed][:, 0].tolist()) <= set(range(1, 1601))
    assert torch.equal(disturbed(codes, lens, 0.0), codes)


def test_it_changes_what_the_ar_reads_not_what_it_shall_say(cuts: dict[str, str]) -> None:
    batch = CodesDataset(0)[CutSet.from_jsonl_lazy(cuts["dev_cuts"])]
    torch.manual_seed(1)
    ar, nar = (PARTS[part](ModelConfig(**MODEL)).eval() for part in PARTS)  # type: ignore[arg-type]
    true = batch_loss("ar", ar, batch, 1, 0.0)[1]
    noisy = batch_loss("ar", ar, batch, 1, 0.0, noise=0.5)[1]
    assert noisy[0] != true[0]
    assert noisy[1] == true[1]
    first = batch.codes[:, :, 0].clone()
    hidden = ar.ar_predict_layer.weight.detach().clone()
    ar.ar_predict_layer.weight.data.zero_()  # then it says the same whatever it reads
    same = [batch_loss("ar", ar, batch, 1, 0.0, noise)[1] for noise in (0.0, 0.5)]
    torch.testing.assert_close(same[0][:2], same[1][:2])
    assert torch.equal(batch.codes[:, :, 0], first)
    ar.ar_predict_layer.weight.data.copy_(hidden)
    assert (
        batch_loss("nar", nar, batch, 1, 0.0)[1][0]
        == batch_loss("nar", nar, batch, 1, 0.0, 0.5)[1][0]
    )


def test_a_model_learns_with_it(make_job: Callable[..., Job]) -> None:
    plain = train(make_job(steps=60))
    noisy = train(make_job(run="b", steps=60, history_noise=0.2))
    assert noisy["best_loss"] != plain["best_loss"]
    assert noisy["best_loss"] < 6  # of ln 1025 = 6.9 at the start, on codes without noise
