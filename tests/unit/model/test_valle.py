"""Padding, masks, dtypes and sizes of the models."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from revoice.model.losses import (
    IGNORE,
    ar_loss,
    ar_top10,
    nar_loss,
    nar_top10,
    top10_hits,
)
from revoice.model.valle import (
    AR,
    BINS,
    EOS,
    NAR,
    SPREAD,
    ModelConfig,
    Parts,
    Reading,
    said_at,
)

CONFIG = ModelConfig("vallex", 32, 2, 4, text_symbols=20, languages=("en", "zh"), pad=3)
PLACED = replace(CONFIG, text_positions="frames")
QUANTIZER = 3


def made(kind: type[AR] | type[NAR], config: ModelConfig = CONFIG) -> Any:
    """A model of these sizes; in an AR that places its text, symbols differ much in length."""
    torch.manual_seed(1)
    model = kind(config)
    if isinstance(model, AR) and config.text_positions == "frames":
        model.ar_durations.frames.weight.data.normal_()
    return model


def batch(seed: int = 0) -> dict[str, Tensor]:
    """Three utterances of different lengths; padding holds ids that no embedding has."""
    generator = torch.Generator().manual_seed(seed)
    text_lens, code_lens = torch.tensor([5, 9, 1]), torch.tensor([14, 6, 11])
    text = torch.randint(CONFIG.text_symbols, (3, 9), generator=generator)
    languages = torch.randint(len(CONFIG.languages), (3, 9), generator=generator)
    codes = torch.randint(BINS, (3, 14, CONFIG.quantizers), generator=generator)
    for i in range(3):
        text[i, text_lens[i] :] = 10**6
        languages[i, text_lens[i] :] = -7
        codes[i, code_lens[i] :] = -1
    prompt_frames = torch.tensor([4, 0, 7])
    return {
        "text": text,
        "text_lens": text_lens,
        "codes": codes,
        "code_lens": code_lens,
        "languages": languages,
        "prompt_frames": prompt_frames,
    }


def single(whole: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    """Utterance i alone, without padding."""
    one = {name: value[i : i + 1] for name, value in whole.items()}
    symbols, frames = int(one["text_lens"]), int(one["code_lens"])
    one["text"], one["languages"] = one["text"][:, :symbols], one["languages"][:, :symbols]
    one["codes"] = one["codes"][:, :frames]
    return one


def sums(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """loss sum, positions, hits, count."""
    codes, lens = inputs["codes"], inputs["code_lens"]
    if isinstance(model, AR):
        names = {"text", "text_lens", "codes", "code_lens", "languages", "parts"} & set(inputs)
        logits = model(**{name: inputs[name] for name in names})
        return *ar_loss(logits, codes, lens), *ar_top10(logits, codes, lens)
    logits = model(**inputs, quantizer=QUANTIZER)
    choice = (QUANTIZER, inputs["prompt_frames"])
    return *nar_loss(logits, codes, lens, *choice), *nar_top10(logits, codes, lens, *choice)


@pytest.fixture(params=[AR, NAR])
def kind(request: pytest.FixtureRequest) -> type[AR] | type[NAR]:
    return request.param


@pytest.fixture(params=[CONFIG, PLACED], ids=["symbols", "frames"])
def model(kind: type[AR] | type[NAR], request: pytest.FixtureRequest) -> Any:
    return made(kind, request.param).double()


def test_padding_changes_nothing(model: nn.Module) -> None:
    whole = batch()
    loss, positions, hits, count = sums(model, whole)
    loss.backward()
    together = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)

    totals = [torch.zeros(()) for _ in range(4)]
    for i in range(3):
        parts = sums(model, single(whole, i))
        parts[0].backward()
        totals = [total + part.detach() for total, part in zip(totals, parts, strict=True)]
    assert positions == totals[1]
    assert (hits, count) == (totals[2], totals[3])
    assert count > 0
    torch.testing.assert_close(loss.detach(), totals[0], rtol=1e-6, atol=0, check_dtype=False)
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert together[name] is None
        else:
            # The cross-entropy itself is float32.
            torch.testing.assert_close(together[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_positions_count_eos_once_and_no_prompt() -> None:
    whole = batch()
    frames = int(whole["code_lens"].sum())
    assert sums(AR(CONFIG), whole)[1] == frames + 3
    assert sums(AR(CONFIG), whole)[3] == frames
    assert sums(NAR(CONFIG), whole)[1] == frames - 4 - 7


def test_ar_sees_text_and_past_only() -> None:
    model, inputs = AR(CONFIG).eval(), single(batch(), 0)
    arguments = [inputs[k] for k in ("text", "text_lens", "codes", "code_lens", "languages")]
    before = model(*arguments)
    later = inputs["codes"].clone()
    later[0, 8] = (later[0, 8] + 1) % BINS
    arguments[2] = later
    after = model(*arguments)
    # Frame 8 is an input from position 9 on.
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_nar_reads_lower_codebooks_and_the_whole_prompt() -> None:
    model, inputs = NAR(CONFIG).eval(), single(batch(), 0)
    prompt = int(inputs["prompt_frames"])
    before = model(**inputs, quantizer=QUANTIZER)

    def changed(frame: int, codebook: int) -> bool:
        codes = inputs["codes"].clone()
        codes[0, frame, codebook] = (codes[0, frame, codebook] + 1) % BINS
        return not torch.equal(before, model(**{**inputs, "codes": codes}, quantizer=QUANTIZER))

    for codebook in range(CONFIG.quantizers):
        assert changed(prompt - 1, codebook)
        assert changed(prompt, codebook) == (codebook < QUANTIZER)


def test_prompt_frames_one_number_or_one_each() -> None:
    model, inputs = NAR(CONFIG).eval(), batch()
    each = model(**{**inputs, "prompt_frames": torch.full((3,), 2)}, quantizer=QUANTIZER)
    one = model(**{**inputs, "prompt_frames": 2}, quantizer=QUANTIZER)
    torch.testing.assert_close(each, one)
    with pytest.raises(ValueError, match="quantizer 8"):
        model(**inputs, quantizer=CONFIG.quantizers)


def test_text_may_be_empty(model: Any) -> None:
    whole = batch()
    whole["text_lens"][2] = 0
    loss = sums(model, whole)[0]
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_each_symbol_is_said_in_the_middle_of_its_share() -> None:
    text = torch.tensor([[1, 2], [4, 0]])
    durations = torch.tensor([[2.0, 3.0], [8.0, 1.0]])
    said = said_at(durations, Parts.whole(text, torch.tensor([10, 9])))
    torch.testing.assert_close(said, torch.tensor([[2.0, 7.0], [4.0, 8.5]]))


def test_each_part_has_its_own_pace() -> None:
    durations = torch.tensor([[2.0, 3.0, 0.5, 1.0, 3.0, 0.0]])
    parts = Parts(torch.tensor([[0, 0, 2, 2, 2, 0]]), torch.tensor([[10, 7, 18]]))
    said = said_at(durations, parts)[0, :5]
    # 2 and 3 frames in 10; then 0.5, 1 and 3 in 18; the middle part has no symbols
    torch.testing.assert_close(said, torch.tensor([2.0, 7.0, 11.0, 14.0, 22.0]))
    alone = said_at(durations[:, 2:], Parts.whole(durations[:, 2:].long(), torch.tensor([18])))
    torch.testing.assert_close(said[2:], alone[0, :3] + 10)


def test_a_frame_is_near_what_is_said_there() -> None:
    symbols = torch.eye(4).repeat(2, 1, 1)
    at = torch.tensor([[1.0, 11.0, 21.0, 31.0], [0.5, 1.5, 30.0, 40.0]])
    reading = Reading(symbols, torch.tensor([4, 3]), at)
    frames = torch.arange(32).expand(2, -1)
    near = reading.near(frames)
    assert near.shape == (2, 32, 4)
    torch.testing.assert_close(near.sum(-1), torch.ones(2, 32))  # the rows of eye: weights
    assert near[0].argmax(-1).tolist() == [0] * 6 + [1] * 10 + [2] * 10 + [3] * 6
    torch.testing.assert_close(near[0, 10], torch.tensor([0.0, 1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    # as likely as a normal distribution of that spread says
    torch.testing.assert_close(near[1, 0, 1] / near[1, 0, 0], torch.tensor(-0.5 / SPREAD**2).exp())
    assert near[1, :, 3].abs().max() == 0  # padding
    assert reading.moved(torch.tensor([1]), 1, 4).near(frames[:1]).equal(near[1:])
    assert Reading(symbols, torch.tensor([4, 3]), None).near(frames).abs().max() == 0
    assert Reading(symbols, torch.tensor([4, 0]), at).near(frames)[1].abs().max() == 0


def test_text_lies_along_the_audio() -> None:
    generator = torch.Generator().manual_seed(1)
    lens = torch.randint(1, 13, (50,), generator=generator)
    frames = torch.randint(1, 400, (50,), generator=generator)
    durations = torch.rand(50, 12, generator=generator) + 0.1
    durations = durations.masked_fill(torch.arange(12) >= lens[:, None], 0.0)
    said = said_at(durations, Parts.whole(durations.long(), frames))
    for row, length, total in zip(said, lens.tolist(), frames.tolist(), strict=True):
        known = row[:length]
        assert (known.diff() > 0).all()
        assert 0 < known[0] <= known[-1] < total
        end, shares = 0.0, []
        for middle in known.tolist():
            shares.append(2 * (middle - end))
            end += shares[-1]
        assert sum(shares) == pytest.approx(total, rel=1e-4)
    whole = Parts.whole(durations.long(), 3 * frames)
    torch.testing.assert_close(said_at(durations, whole), 3 * said)
    torch.testing.assert_close(said_at(5 * durations, whole), 3 * said)


def test_the_length_of_the_audio_places_the_text() -> None:
    """And so it shows in the first frame, which sees no others; not where symbols are counted."""
    inputs = single(batch(), 0)
    del inputs["prompt_frames"]
    longer = {**inputs, "codes": torch.nn.functional.pad(inputs["codes"], (0, 0, 0, 6))}
    longer["code_lens"] = inputs["code_lens"] + 6
    for config in (CONFIG, PLACED):
        model = made(AR, config).eval()
        one, other = model(**inputs)[:, 0], model(**longer)[:, 0]
        assert torch.allclose(one, other) == (config is CONFIG)


def test_how_long_symbols_last_places_the_text() -> None:
    model, inputs = made(AR, PLACED).eval(), single(batch(), 0)
    before = sums(model, inputs)[0]
    model.ar_durations.frames.weight.data.mul_(-1)
    assert sums(model, inputs)[0] != before


def test_an_alignment_places_the_text(kind: type[AR] | type[NAR]) -> None:
    model, inputs = made(kind, PLACED).eval(), single(batch(), 0)
    length = inputs["text"].shape[1]
    found = []
    for frames in ([10, 1, 1, 1, 1], [1, 1, 1, 1, 10]):
        parts = Parts.of_sizes([[(1, n) for n in frames]])
        assert parts.of.shape == (1, length)
        found.append(sums(model, {**inputs, "parts": parts})[0])
    assert found[0] != found[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half(dtype: torch.dtype) -> None:
    for model in (AR(CONFIG), NAR(CONFIG)):
        full = sums(model, batch())[0]
        with torch.autocast("cpu", dtype):
            loss = sums(model, batch())[0]
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, full, rtol=0.02, atol=0)
        loss.backward()
        torch.testing.assert_close(sums(model.to(dtype), batch())[0], full, rtol=0.02, atol=0)


def test_gradient_checkpointing_gives_the_same_gradients(model: Any) -> None:
    sums(model, batch())[0].backward()
    plain = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model.gradient_checkpointing = True
    sums(model, batch())[0].backward()
    for gradient, parameter in zip(plain, model.parameters(), strict=True):
        assert (gradient is None) == (parameter.grad is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, parameter.grad)


def test_dropout_in_training_only() -> None:
    config = ModelConfig("valle", 32, 2, 4, text_symbols=20, dropout=0.5)
    for model in (AR(config), NAR(config)):
        assert sums(model, batch())[0] != sums(model, batch())[0]
        model.eval()
        assert sums(model, batch())[0] == sums(model, batch())[0]


def test_output_layers_are_tied_after_loading() -> None:
    model = NAR(CONFIG)
    model.load_state_dict(NAR(CONFIG).state_dict())
    for i in range(CONFIG.quantizers - 2):
        embedding = model.nar_audio_embeddings[i + 2].get_parameter("word_embeddings.weight")
        assert model.nar_predict_layers[i].weight is embedding
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["nar_predict_layers.2.weight"][0, 0] += 1
    with pytest.raises(ValueError, match=r"nar_predict_layers\.2\.weight.*nar_audio_embeddings\.4"):
        model.load_state_dict(state)


def test_training_from_scratch_begins_near_chance() -> None:
    torch.manual_seed(0)
    for model, classes in ((AR(CONFIG), BINS + 1), (NAR(CONFIG), BINS)):
        loss, positions = sums(model, batch())[:2]
        chance = torch.log(torch.tensor(float(classes)))
        assert chance - 0.5 < (loss / positions) < chance + 1.0


def top10_accuracy(logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    hits, count = top10_hits(logits, targets, ignore_index)
    return hits / count


def test_top10() -> None:
    logits = torch.arange(20.0).expand(1, 3, 20)
    targets = torch.tensor([[19, 10, 9]])
    assert top10_hits(logits, targets, IGNORE) == (2, 3)
    assert top10_accuracy(logits, targets, 9) == 1.0
    assert top10_accuracy(logits, torch.full((1, 3), IGNORE), IGNORE).isnan()
    codes = torch.zeros(1, 2, 8, dtype=torch.int16)
    only_eos = torch.zeros(1, 3, BINS + 1)
    only_eos[..., EOS] = 1.0
    only_eos[..., 1:10] = 0.5
    assert ar_top10(only_eos, codes, torch.tensor([2])) == (0, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "tts"}, "tts"),
        ({"heads": 5}, "multiple of heads 5"),
        ({"languages": ()}, "at least one language"),
        ({"layout": "valle"}, '"valle" has none'),
        ({"languages": ("en", "en")}, "twice"),
        ({"pad": 20}, "pad 20"),
        ({"text_positions": "words"}, '"words" is not "symbols" or "frames"'),
    ],
)
def test_config_that_does_not_fit(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"layout": "vallex", "width": 32, "layers": 1, "heads": 4}
    fields |= {"text_symbols": 20, "languages": ("en",)}
    with pytest.raises(ValueError, match=message):
        ModelConfig(**{**fields, **changes})


def test_vallex_needs_languages() -> None:
    inputs = batch()
    with pytest.raises(ValueError, match="language of every text symbol"):
        AR(CONFIG)(inputs["text"], inputs["text_lens"], inputs["codes"], inputs["code_lens"])
