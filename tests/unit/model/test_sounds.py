"""A NAR that knows what codes stand for: what it hears, how it says it, what that is good for."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from revoice.model.checkpoint import load_part, save_model
from revoice.model.drawing import Sampling
from revoice.model.finetune import load_initial
from revoice.model.generate import Request, synthesize
from revoice.model.sounds import REPEATED, Entries, Sounds
from revoice.model.valle import AR, BINS, NAR, ModelConfig
from revoice.training.data import Batch
from revoice.training.objective import PROMPT_SHARE, batch_loss, measure, nar_sums

STAGES = ModelConfig("valle", 32, 2, 4, text_symbols=20)
CONFIG = replace(STAGES, sounds=5)


def entries(used: int = BINS) -> Entries:
    random = torch.Generator().manual_seed(1)
    values = torch.randn(8, BINS, 5, generator=random)
    values[:, used:] = values[:, used - 1 : used]
    weights = torch.ones(8, 5)
    weights[2, 3:] = 0
    return Entries(values, weights)


@pytest.fixture
def nar() -> NAR:
    torch.manual_seed(2)
    model = NAR(CONFIG).eval()
    model.nar_sounds.learn(entries())
    return model


def batch(rows: int = 3, frames: int = 20) -> Batch:
    random = torch.Generator().manual_seed(4)
    text = torch.randint(20, (rows, 7), generator=random)
    codes = torch.randint(BINS, (rows, frames, 8), generator=random)
    lens = torch.tensor([frames - 3 * i for i in range(rows)])
    return Batch(text, torch.full((rows,), 7), codes, lens)


def test_logits_are_distances() -> None:
    """To what was said: with a unit of precision, those of a normal distribution."""
    torch.manual_seed(1)
    sounds, known = Sounds(8, BINS, 5, 16), entries()
    sounds.learn(known)
    with torch.no_grad():
        sounds.log_precision.zero_()
        hidden = torch.randn(2, 3, 16)
        said = sounds.say(hidden).unflatten(-1, (7, 5))
        for quantizer in (1, 2, 7):
            seen = known.values[quantizer] * known.weights[quantizer]
            seen = seen / seen[:, known.weights[quantizer] > 0].std()
            mean = said[:, :, quantizer - 1] * known.weights[quantizer]
            distances = (mean.unsqueeze(2) - seen).square().sum(-1)
            found = sounds.logits(hidden, quantizer)
            torch.testing.assert_close(found.log_softmax(-1), (-distances / 2).log_softmax(-1))
            torch.testing.assert_close(sounds.logits(hidden)[:, :, quantizer - 1], found)


def test_repeated_entries_are_not_chosen() -> None:
    sounds = Sounds(8, BINS, 5, 16)
    sounds.learn(entries(used=9))
    assert (sounds.frequency[:, :9] == 0).all()
    assert (sounds.frequency[:, 9:] == REPEATED).all()


@torch.inference_mode()
def test_it_reads_the_first_codebook_and_a_prompt(nar: NAR) -> None:
    given = batch()
    what = (given.text, given.text_lens, given.codes, given.code_lens)
    logits = nar(*what, None, 6)
    assert logits.shape == (3, 20, 7, BINS)
    torch.testing.assert_close(nar(*what, 3, 6), logits[:, :, 2])
    for frame, quantizer, read in ((2, 5, True), (10, 0, True), (10, 5, False)):
        codes = given.codes.clone()
        codes[:, frame, quantizer] = (codes[:, frame, quantizer] + 500) % BINS
        other = nar(given.text, given.text_lens, codes, given.code_lens, None, 6)
        assert (not torch.equal(other[:, 6:], logits[:, 6:])) == read
    padded = given.codes.clone()
    padded[1, 17:] = padded[2, 14:] = 7
    other = nar(given.text, given.text_lens, padded, given.code_lens, None, 6)
    torch.testing.assert_close(other[2, :14], logits[2, :14])


def test_its_loss_is_the_mean_over_codebooks(nar: NAR) -> None:
    given = batch()
    loss, sums = batch_loss("nar", nar, given, None, 0.4)
    total, rows = nar_sums(nar, given, None, 0.4)
    assert rows.shape == (7, 4)
    torch.testing.assert_close(rows.mean(0), sums)
    torch.testing.assert_close(loss * 7, total)
    for quantizer, row in enumerate(rows, 1):
        alone = batch_loss("nar", nar, given, quantizer, 0.4)[1]
        torch.testing.assert_close(alone, row)
    measured = measure("nar", nar, [given, given], "cpu")
    torch.testing.assert_close(measured, 2 * nar_sums(nar, given, None, PROMPT_SHARE)[1])


def test_one_codebook_at_a_time_is_asked_for_by_name() -> None:
    given = batch()
    with pytest.raises(ValueError, match="predicts one codebook at a time"):
        NAR(STAGES)(given.text, given.text_lens, given.codes, given.code_lens, None, 0)


def test_saved_loaded_and_grown(nar: NAR, tmp_path: Path) -> None:
    """The file holds the codec's entries: nothing else is needed to go on."""
    save_model(tmp_path / "model", nar, {})
    loaded, meta = load_part("nar", tmp_path / "model")
    assert meta["model"] == CONFIG
    given = batch()
    what = (given.text, given.text_lens, given.codes, given.code_lens, None, 4)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.eval()(*what), nar(*what))
        grown, _ = load_initial("nar", str(tmp_path / "model"), {}, 25, 1)
        torch.testing.assert_close(grown.eval()(*what), nar(*what))


def test_it_speaks_of_codes_that_it_never_saw() -> None:
    """What the second codebook is follows from the sound of the first: tables know no sounds."""
    torch.manual_seed(1)
    known = entries(used=200)
    follows = torch.cdist(-known.values[0, :200], known.values[1, :200]).argmin(1)

    def speech(first: int, end: int, seed: int) -> Batch:
        random = torch.Generator().manual_seed(seed)
        codes = torch.randint(200, (16, 30, 8), generator=random)
        codes[:, :, 0] = torch.randint(first, end, (16, 30), generator=random)
        codes[:, :, 1] = follows[codes[:, :, 0]]
        lens = torch.full((16,), 3), torch.full((16,), 30)
        return Batch(torch.zeros(16, 3, dtype=torch.long), lens[0], codes, lens[1])

    losses = {}
    for config in (CONFIG, STAGES):
        model = NAR(config)
        if config.sounds:
            model.nar_sounds.learn(known)
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        for step in range(60):
            loss, sums = batch_loss("nar", model, speech(0, 150, step), 1, 0.0)
            (loss / sums[1]).backward()
            optimizer.step()
            optimizer.zero_grad()
        sums = batch_loss("nar", model.eval(), speech(150, 200, 99), 1, 0.0)[1]
        losses[config.sounds] = float(sums[0] / sums[1])
    assert losses[5] < 0.7 * math.log(200) < losses[None]


@pytest.mark.parametrize("decoded", [None, entries()])
def test_it_speaks(nar: NAR, decoded: Entries | None) -> None:
    torch.manual_seed(5)
    ar = AR(CONFIG).eval()
    requests = [Request([1, 2, 3], ["en"] * 3), Request([4, 5], ["en"] * 2)]
    sampling = Sampling(top_k=9, max_frames=12)
    together = synthesize(ar, nar, requests, sampling, 1, entries=decoded)
    alone = synthesize(ar, nar, requests, sampling, 1, 1, entries=decoded)
    for one, other in zip(together, alone, strict=True):
        assert one.codes.shape[1] == 8
        assert (one.codes == other.codes).all()
        assert len(set(one.codes[:, 3].tolist())) > 1
