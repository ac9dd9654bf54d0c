"""Synthesis on small random models: batches, cache, sampling, limits, prompts."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from revoice.codec.search import ResidualCodec
from revoice.model.drawing import Sampling, sample
from revoice.model.generate import GREEDY, Request, _Batch, _draw_of, nearest, synthesize
from revoice.model.prompts import Origin, Prompt, read_preset, write_preset
from revoice.model.sounds import Entries, entries_of
from revoice.model.valle import AR, BINS, EOS, NAR, ModelConfig, Parts

CONFIG = ModelConfig("vallex", 32, 2, 4, text_symbols=20, languages=("en", "zh"), pad=3)
SHORT = Sampling(top_k=1, max_frames=25)


def made(config: ModelConfig) -> tuple[AR, NAR]:
    torch.manual_seed(3)
    ar, nar = AR(config).eval(), NAR(config).eval()
    for model in (ar, nar):  # larger weights than a fresh model's, so that context matters
        for name, parameter in model.named_parameters():
            if "alpha" not in name and "norm" not in name:
                parameter.data.mul_(5.0)
    return ar, nar


@pytest.fixture(scope="module")
def models() -> tuple[AR, NAR]:
    return made(CONFIG)


class Lasting(torch.nn.Module):
    """In place of a model's `Durations`: whatever is around it, symbol i lasts 1, 2 or 3 frames."""

    def forward(self, text: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        return (1.0 + text % 3).masked_fill(padding, 0.0)


@pytest.fixture(scope="module")
def placed() -> tuple[AR, NAR]:
    """Models that place their text."""
    ar, nar = made(replace(CONFIG, text_positions="frames"))
    ar.ar_durations = Lasting()
    return ar, nar


@pytest.fixture(scope="module")
def telling(placed: tuple[AR, NAR]) -> tuple[AR, NAR]:
    """Models whose aligner knows that symbol i is said by codes 50 i to 50 i + 49."""
    nar = deepcopy(placed[1])
    likely = torch.arange(BINS) // 50 == torch.arange(CONFIG.text_symbols)[:, None]
    nar.nar_aligner.says.copy_(torch.where(likely, -4.0, -10.0))
    nar.nar_aligner.heard.fill_(-7.0)
    nar.nar_aligner.omitted.fill_(-5.0)
    return placed[0], nar


def prompt(frames: int, symbols: int, seed: int = 0, language: str = "zh") -> Prompt:
    generator = np.random.default_rng(seed)
    return Prompt(
        generator.integers(0, CONFIG.text_symbols, symbols).tolist(),
        [language] * symbols,
        generator.integers(0, BINS, (frames, CONFIG.quantizers)).astype(np.int16),
    )


def request(symbols: int, seed: int = 0, **fields: Any) -> Request:
    ids = np.random.default_rng(seed).integers(0, CONFIG.text_symbols, symbols).tolist()
    return Request(ids, ["en"] * symbols, **fields)


REQUESTS = [
    request(4, 0, prompt=prompt(9, 3)),
    request(1, 1),
    request(7, 2, prompt=prompt(2, 5, 1), accent="zh"),
    request(5, 3, prompt=prompt(14, 1, 2, "en")),
]


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(
        np.array_equal(a.codes, b.codes) and a.ended == b.ended
        for a, b in zip(one, other, strict=True)
    )


def likely_eos(ar: AR, bias: float) -> AR:
    """The same AR with EOS made more probable: its output row follows the mean of the others."""
    other = deepcopy(ar)
    # Adding the last norm's shift makes the EOS logit a constant.
    torch.nn.init.zeros_(other.ar_predict_layer.weight.data[EOS])
    other.ar_decoder.norm.get_parameter("bias").data.zero_()
    other.ar_decoder.norm.get_parameter("bias").data[0] = 1.0
    other.ar_decoder.norm.get_parameter("weight").data[0] = 0.0
    other.ar_predict_layer.weight.data[:, 0] = 0.0
    other.ar_predict_layer.weight.data[EOS, 0] = bias
    return other


@torch.inference_mode()
def without_cache(ar: AR, nar: NAR, one: Request, frames: int) -> np.ndarray:
    """Greedy codes by the models' teacher-forced forward, one frame more each time."""
    text = torch.tensor([[*one.prompt.ids, *one.ids]])
    spoken = [*one.prompt.languages, *(one.accent or language for language in one.languages)]
    languages = torch.tensor([[CONFIG.languages.index(name) for name in spoken]])
    lens = torch.tensor([text.shape[1]])
    codes = torch.from_numpy(one.prompt.codes.astype(np.int64))[None]
    start = codes.shape[1]
    for _ in range(frames):
        logits = ar(text, lens, codes, torch.tensor([codes.shape[1]]), languages)
        following = torch.zeros(1, 1, CONFIG.quantizers, dtype=torch.long)
        following[0, 0, 0] = logits[0, -1].argmax()
        codes = torch.cat((codes, following), 1)
    for quantizer in range(1, CONFIG.quantizers):
        code_lens = torch.tensor([codes.shape[1]])
        logits = nar(text, lens, codes, code_lens, quantizer, start, languages)
        codes[:, start:, quantizer] = logits[:, start:].argmax(-1)
    return codes[0, start:].numpy()


def test_cache_gives_what_the_whole_forward_gives(models: tuple[AR, NAR]) -> None:
    ar, nar = likely_eos(models[0], -100.0), models[1]
    for one, found in zip(REQUESTS, synthesize(ar, nar, REQUESTS, SHORT), strict=True):
        frames = min(25, 16 * (len(one.prompt.ids) + len(one.ids)))
        assert not found.ended
        assert found.codes.dtype == np.int16
        np.testing.assert_array_equal(found.codes, without_cache(ar, nar, one, frames))


def said(ids: Sequence[int], prompt: Prompt | None = None) -> Request:
    return Request(ids, ["en"] * len(ids), prompt or Prompt())


# A text after its prompt, and the frames that it is expected to take, at three frames to two of
# the training, at one to one, and at two to one: nobody speaks ten times slower than the rest
PLANNED = [
    (said([3, 4, 5, 1], replace(prompt(9, 3), ids=[0, 1, 2])), 12),
    (said([1, 2, 2, 0, 2]), 12),
    (said([2, 2], replace(prompt(20, 2, 1), ids=[0, 0])), 12),
]


def test_the_length_is_planned_at_the_pace_of_the_prompt(
    models: tuple[AR, NAR], placed: tuple[AR, NAR]
) -> None:
    batch = _Batch.of([one for one, _ in PLANNED], placed[0])
    planned = batch.expected(placed[0])
    assert planned.tolist() == [frames for _, frames in PLANNED]
    assert batch.expected(models[0]).tolist() == [0, 0, 0]
    draws = [_draw_of(placed[0], one, frames, GREEDY, (0,)) for one, frames in PLANNED]
    parts = Parts.of_sizes([draw.sizes for draw in draws])
    assert parts.frames.tolist() == [[9, 12], [0, 12], [20, 12]]
    for row, (one, _) in zip(parts.of.tolist(), PLANNED, strict=True):
        begun = len(one.prompt.ids)
        assert row[: begun + len(one.ids)] == [0] * begun + [1] * len(one.ids)
    fast = said([1, 2], replace(prompt(1, 3), ids=[2, 2, 2]))
    batch = _Batch.of([fast], placed[0])
    assert batch.expected(placed[0]).tolist() == [5 / 2]


def test_the_alignment_of_a_prompt_is_used_where_it_is_known(placed: tuple[AR, NAR]) -> None:
    lasting = [1, 0, 8]
    aligned = request(4, 0, prompt=replace(prompt(9, 3), lasting=lasting))
    asked = [(aligned, 6.5), (request(1, 1), 3.0)]
    draws = [_draw_of(placed[0], one, frames, GREEDY, (0,)) for one, frames in asked]
    parts = Parts.of_sizes([draw.sizes for draw in draws])
    assert parts.of[0].tolist() == [0, 1, 2, 3, 3, 3, 3]
    assert parts.frames.tolist() == [[1, 0, 8, 6.5], [0, 3, 0, 0]]
    other = replace(aligned, prompt=replace(prompt(9, 3), lasting=[8, 0, 1]))
    likely = likely_eos(placed[0], -100.0), placed[1]
    assert not same(synthesize(*likely, [aligned], SHORT), synthesize(*likely, [other], SHORT))


def test_the_nar_alone_takes_the_voice_on(placed: tuple[AR, NAR]) -> None:
    likely = likely_eos(placed[0], -100.0), placed[1]
    asked = [request(4, 0, prompt=prompt(9, 3)), request(3, 1, prompt=prompt(4, 2, 1))]
    bare = [replace(one, prompt=Prompt()) for one in asked]
    nar_alone = synthesize(*likely, asked, SHORT, ar_prompts=False)
    neither, both = synthesize(*likely, bare, SHORT), synthesize(*likely, asked, SHORT)
    for one, without, with_all in zip(nar_alone, neither, both, strict=True):
        assert (one.codes[:, 0] == without.codes[:, 0]).all()
        assert (one.codes[:, 1:] != without.codes[:, 1:]).any()
        assert (one.codes[:, 0] != with_all.codes[:, 0]).any()


def told_by(ids: Sequence[int], frames: int) -> np.ndarray:
    """Codes of the first codebook by which `telling` says symbols, of so many frames each."""
    return np.repeat(50 * np.array(ids) + 7, frames)


def test_a_prompt_without_an_alignment_is_aligned(telling: tuple[AR, NAR]) -> None:
    codes = prompt(9, 3).codes.copy()
    codes[:, 0] = told_by([5, 2, 9], 3)
    unknown = request(4, 0, prompt=Prompt([5, 2, 9], ["zh"] * 3, codes))
    known = replace(unknown, prompt=replace(unknown.prompt, lasting=[3, 3, 3]))
    wrong = replace(unknown, prompt=replace(unknown.prompt, lasting=[1, 1, 7]))
    likely = likely_eos(telling[0], -100.0), telling[1]
    one, two, three = (synthesize(*likely, [each], SHORT) for each in (unknown, known, wrong))
    assert same(one, two)
    assert not same(one, three)
    only_voice = request(4, 0, prompt=Prompt((), (), codes))
    assert len(synthesize(*likely, [only_voice], SHORT)[0].codes) == 25


def test_what_is_said_is_aligned(telling: tuple[AR, NAR]) -> None:
    requests = [said([3, 4], replace(prompt(4, 2), ids=[1, 2], lasting=[3, 1])), said([8])]
    firsts = [np.array([*told_by([3], 5), *told_by([4], 2)], np.int16), told_by([8], 4)]
    parts = _Batch.of(requests, telling[1]).aligned(telling[1].nar_aligner, firsts)
    assert parts.of[0].tolist() == [0, 1, 2, 3]
    assert parts.frames.tolist() == [[3, 1, 5, 2], [0, 4, 0, 0]]


def test_best_of_tells_most_of_the_text(telling: tuple[AR, NAR]) -> None:
    ar, nar = likely_eos(telling[0], 3.0), telling[1]
    aligner, one = nar.nar_aligner, request(3, 4)
    told = [
        aligner.told(np.array(one.ids), found.codes[:, 0].astype(np.int64))
        for found in synthesize(ar, nar, [one] * 8, Sampling(max_frames=25))
        if found.ended
    ]
    best = synthesize(ar, nar, [one], Sampling(best_of=24, max_frames=25))[0]
    assert best.ended
    assert aligner.told(np.array(one.ids), best.codes[:, 0].astype(np.int64)) > np.median(told)


def test_nobody_speaks_twice_as_long_as_is_planned(placed: tuple[AR, NAR]) -> None:
    endless = likely_eos(placed[0], -100.0), placed[1]
    requests = [one for one, _ in PLANNED]
    lasting = [len(found.codes) for found in synthesize(*endless, requests)]
    assert lasting == [min(16 * symbols, 2 * 12 + 32) for symbols in (7, 5, 4)]


def test_speed_is_of_what_is_planned(models: tuple[AR, NAR], placed: tuple[AR, NAR]) -> None:
    requests = [one for one, _ in PLANNED]
    endless = likely_eos(placed[0], -100.0), placed[1]
    found = synthesize(*endless, requests, Sampling(speed=2.0))
    assert [len(one.codes) for one in found] == [12 + 32] * 3
    plain, fast = (synthesize(*endless, requests, replace(SHORT, speed=s)) for s in (1.0, 2.0))
    assert not same(plain, fast), "the text is placed elsewhere"
    fast = synthesize(*models, REQUESTS, replace(SHORT, speed=2.0))
    assert same(fast, synthesize(*models, REQUESTS, SHORT)), "who does not plan has no speed"


@torch.inference_mode()
def test_cache_gives_the_whole_forward_where_the_plan_is_kept(telling: tuple[AR, NAR]) -> None:
    ar, nar = likely_eos(telling[0], -100.0), telling[1]
    requests = [one for one, _ in PLANNED]
    found = synthesize(ar, nar, requests, Sampling(top_k=1, max_frames=12))
    for (one, planned), result in zip(PLANNED, found, strict=True):
        start = len(one.prompt.codes)
        total = start + planned
        text = torch.tensor([[*one.prompt.ids, *one.ids]])
        languages = torch.zeros_like(text)
        languages[:, : len(one.prompt.ids)] = 1
        before = one.prompt.codes.reshape(-1, CONFIG.quantizers)
        codes = torch.from_numpy(np.concatenate([before, result.codes]).astype(np.int64))[None]
        lens = torch.tensor([text.shape[1]]), torch.tensor([total])
        assert codes.shape[1] == total
        of = [0] * len(one.prompt.ids) + [1] * len(one.ids)
        parts = Parts(torch.tensor([of]), torch.tensor([[start, planned]]))
        logits = ar(text, lens[0], codes, lens[1], languages, parts)
        assert (logits[0, start:total].argmax(-1) == codes[0, start:, 0]).all()
        asked = zip((one.prompt, one), (codes[0, :start, 0], codes[0, start:, 0]), strict=True)
        lasting = [nar.nar_aligner.frames(np.array(x.ids), y.numpy()) for x, y in asked if x.ids]
        parts = Parts.of_sizes([[(1, n) for n in np.concatenate(lasting).tolist()]])
        for quantizer in range(1, CONFIG.quantizers):
            logits = nar(text, lens[0], codes, lens[1], quantizer, start, languages, parts)
            assert (logits[0, start:].argmax(-1) == codes[0, start:, quantizer]).all()


def test_batches_change_nothing_where_text_is_placed(placed: tuple[AR, NAR]) -> None:
    ar, nar = likely_eos(placed[0], 2.0), placed[1]
    sampling = Sampling(top_k=9, max_frames=25)
    together = synthesize(ar, nar, REQUESTS, sampling, seed=5)
    assert same(together, synthesize(ar, nar, REQUESTS, sampling, seed=5, batch_size=1))
    assert same(together, synthesize(ar, nar, REQUESTS, sampling, seed=5, batch_size=3))


def test_nearest() -> None:
    entries = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    every = torch.ones(5)
    assert nearest(entries[None, [2, 0, 3]], entries, every).tolist() == [[2, 0, 3]]
    line = torch.tensor([[0.0], [4.0], [1.0], [2.0], [9.0]])
    assert nearest(torch.tensor([[[1.9], [0.2], [8.0]]]), line, torch.ones(1)).tolist() == [
        [3, 0, 4]
    ]
    plane = torch.tensor([[0.0, 9.0], [4.0, 0.0]])
    looked_at = [
        nearest(torch.tensor([[[1.0, 0.0]]]), plane, w) for w in (every[:2], torch.eye(2)[0])
    ]
    assert [found.tolist() for found in looked_at] == [[[1]], [[0]]]


class Codec(ResidualCodec):
    """Whose codes are points in a plane."""

    def entries(self, quantizer: int) -> np.ndarray:
        return np.random.default_rng(quantizer).normal(size=(BINS, 2)).astype(np.float32)


@torch.inference_mode()
def test_the_expected_sound_is_spoken(models: tuple[AR, NAR]) -> None:
    entries = entries_of(Codec())
    assert [(each.shape, each.dtype) for each in entries] == [
        ((8, BINS, 2), torch.float32),
        ((8, 2), torch.float32),
    ]
    likeliest, expected = (synthesize(*models, REQUESTS, SHORT, entries=e) for e in (None, entries))
    differ = 0
    for one, two, asked in zip(likeliest, expected, REQUESTS, strict=True):
        assert np.array_equal(one.codes[:, 0], two.codes[:, 0])
        differ += int((one.codes != two.codes).sum())
        batch = _Batch.of([asked], models[1])
        start, before = len(asked.prompt.codes), asked.prompt.codes.reshape(-1, 8)
        codes = torch.from_numpy(np.concatenate([before, two.codes]).astype(np.int64))[None]
        lens = torch.tensor([codes.shape[1]])
        mean = said = 0
        for quantizer, values in list(enumerate(entries.values))[1:]:
            given = (batch.text, batch.text_lens, codes, lens, quantizer, start, batch.languages)
            mean = mean + models[1](*given)[:, start:].softmax(-1) @ values
            # no other entry brings what is said so far nearer to the mean of what may be said
            others = (mean - said).unsqueeze(2) - values
            chosen = codes[:, start:, quantizer]
            assert torch.equal(others.square().sum(-1).argmin(-1), chosen)
            said = said + values[chosen]
    assert differ
    # where all sounds are equally far from each other, the likeliest is the nearest
    apart = Entries(torch.eye(8 * BINS).view(8, BINS, -1), torch.ones(8, 8 * BINS))
    assert same(likeliest, synthesize(*models, REQUESTS, SHORT, entries=apart))


@pytest.mark.parametrize(
    "sampling", [SHORT, Sampling(top_k=9, max_frames=25), Sampling(top_p=0.8, temperature=0.7)]
)
def test_batches_change_nothing(models: tuple[AR, NAR], sampling: Sampling) -> None:
    ar, nar = likely_eos(models[0], 2.0), models[1]
    together = synthesize(ar, nar, REQUESTS, sampling, seed=5)
    assert same(together, synthesize(ar, nar, REQUESTS, sampling, seed=5, batch_size=1))
    assert same(together, synthesize(ar, nar, REQUESTS, sampling, seed=5, batch_size=3))


def test_greedy_one_by_one(models: tuple[AR, NAR]) -> None:
    alone = [synthesize(*models, [one], SHORT)[0] for one in REQUESTS]
    assert same(synthesize(*models, REQUESTS, SHORT), alone)


def test_limit_is_sixteen_frames_per_symbol(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], -100.0)
    for one, found in zip(REQUESTS, synthesize(ar, models[1], REQUESTS), strict=True):
        assert len(found.codes) == 16 * (len(one.prompt.ids) + len(one.ids))
        assert not found.ended


def test_eos_at_the_first_step_is_reported(models: tuple[AR, NAR]) -> None:
    found = synthesize(likely_eos(models[0], 100.0), models[1], REQUESTS)
    assert [result.codes.shape for result in found] == [(0, CONFIG.quantizers)] * len(REQUESTS)
    assert all(result.ended for result in found)
    assert found[0].log_probability == pytest.approx(0.0, abs=1e-3)


def test_eos_ends_some_earlier_than_others(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], 4.0)
    found = synthesize(ar, models[1], [request(6, i) for i in range(12)], Sampling(), seed=2)
    lengths = [len(result.codes) for result in found]
    assert len(set(lengths)) > 3
    assert all(result.ended == (len(result.codes) < 96) for result in found)
    assert not any((result.codes >= BINS).any() for result in found)


def test_seeds(models: tuple[AR, NAR]) -> None:
    sampling = Sampling(max_frames=25)
    first = synthesize(*models, REQUESTS, sampling, seed=1)
    assert same(first, synthesize(*models, REQUESTS, sampling, seed=1))
    assert not same(first, synthesize(*models, REQUESTS, sampling, seed=2))
    twice = synthesize(*models, [REQUESTS[0]] * 2, sampling, seed=1)
    assert not same(twice[:1], twice[1:])


def test_best_of_keeps_the_most_probable_that_ended(models: tuple[AR, NAR]) -> None:
    ar = likely_eos(models[0], 4.0)
    draws = [
        synthesize(ar, models[1], REQUESTS[:1], Sampling(max_frames=n), seed=0)[0] for n in (8, 25)
    ]
    best = synthesize(ar, models[1], REQUESTS[:1], Sampling(best_of=8, max_frames=25), seed=0)[0]
    assert best.ended
    assert len(best.codes)
    for draw in draws:
        if draw.ended and len(draw.codes):
            assert best.log_probability >= draw.log_probability
    # Greedy draws are all alike.
    greedy = Sampling(top_k=1, best_of=3, max_frames=25)
    assert same(synthesize(*models, REQUESTS, greedy), synthesize(*models, REQUESTS, SHORT))


def test_language_and_accent(models: tuple[AR, NAR]) -> None:
    english = request(6)
    chinese = Request(english.ids, ["zh"] * 6)
    mixed = Request(english.ids, ["en", "zh"] * 3)
    as_chinese = request(6, accent="zh")
    found = synthesize(*models, [english, chinese, mixed, as_chinese], SHORT)
    assert same(found[1:2], found[3:4])
    assert not same(found[:1], found[1:2])
    assert not same(found[:1], found[2:3])
    # A language that the model lacks may be spoken with an accent that it has.
    foreign = Request(english.ids, ["de"] * 6, accent="zh")
    assert same(synthesize(*models, [foreign], SHORT), found[1:2])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Request([], []), "no text"),
        (Request([1, 2], ["en"]), "one language per symbol"),
        (Request([20], ["en"]), "symbol 20, the model knows 20"),
        (Request([1], ["en"], Prompt([25], ["en"])), "symbol 25"),
        (Request([1], ["fr"]), "is in fr; the model knows en, zh"),
        (Request([1], ["en"], accent="fr"), "is in fr"),
        (Request([1], ["en"], Prompt([1], ["fr"]), accent="zh"), "is in fr"),
        (Request([1], ["en"], Prompt([1], ["en"], np.zeros((5, 4), np.int16))), r"\(5, 4\)"),
        (Request([1], ["en"], Prompt([1], ["en"], lasting=[1, 2])), "how long each symbol lasts"),
    ],
)
def test_requests_that_do_not_fit(models: tuple[AR, NAR], bad: Request, message: str) -> None:
    with pytest.raises(ValueError, match=rf"request 1.*{message}"):
        synthesize(*models, [request(2), bad], GREEDY)


def test_a_model_without_languages() -> None:
    config = ModelConfig("valle", 32, 1, 2, text_symbols=20, quantizers=4)
    torch.manual_seed(0)
    plain = Request([1, 2, 3], ["cy"] * 3)
    prompted = Request([1, 2], ["cy"] * 2, Prompt([5], ["cy"], np.ones((6, 4), np.int16)))
    found = synthesize(AR(config).eval(), NAR(config).eval(), [plain, prompted], SHORT)
    assert [result.codes.shape[1] for result in found] == [4, 4]
    assert synthesize(AR(config).eval(), NAR(config).eval(), []) == []


def test_sample_follows_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    uniform = (torch.arange(1000) + 0.5) / 1000

    def shares(sampling: Sampling) -> list[float]:
        drawn = sample(logits.expand(1000, 4), sampling, uniform)
        return (torch.bincount(drawn, minlength=4) / 1000).tolist()

    assert shares(Sampling()) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=2e-3)
    assert shares(Sampling(top_k=2)) == pytest.approx([0.625, 0.375, 0, 0], abs=2e-3)
    assert shares(Sampling(top_p=0.6)) == pytest.approx([0.625, 0.375, 0, 0], abs=2e-3)
    assert shares(Sampling(top_p=0.4)) == [1, 0, 0, 0]
    assert shares(Sampling(top_k=1)) == [1, 0, 0, 0]
    squared = np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365
    assert shares(Sampling(temperature=0.5)) == pytest.approx(squared.tolist(), abs=2e-3)
    edge = sample(logits.expand(2, 4), Sampling(), torch.tensor([0.0, 1.0]))
    assert edge.tolist() == [0, 3]


@pytest.mark.parametrize(
    "fields", [{"top_k": 0}, {"top_p": 0.0}, {"temperature": 0.0}, {"best_of": 0}, {"speed": 0}]
)
def test_sampling_that_cannot_be(fields: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Sampling(**fields)


def test_preset_round_trip(tmp_path: Path) -> None:
    voice = prompt(12, 4, language="ja")
    write_preset(tmp_path / "voice.npz", voice)
    back = read_preset(tmp_path / "voice.npz")
    np.testing.assert_array_equal(back.codes, voice.codes)
    assert (back.ids, back.languages) == (voice.ids, voice.languages)
    with np.load(tmp_path / "voice.npz") as file:
        assert int(file["lang_code"]) == 1


def test_a_preset_of_several_languages_keeps_them_and_its_alignment(tmp_path: Path) -> None:
    voice = replace(prompt(12, 4), languages=["en", "fr", "fr", "en"], lasting=[3, 4, 5, 0])
    write_preset(tmp_path / "voice.npz", voice, Origin("these tokens", "this codec"))
    back = read_preset(tmp_path / "voice.npz", Origin("these tokens", "this codec"))
    assert (back.ids, back.languages, back.lasting) == (voice.ids, voice.languages, [3, 4, 5, 0])
    with pytest.raises(ValueError, match=r"voice\.npz was made with another codec"):
        read_preset(tmp_path / "voice.npz", Origin("these tokens", "another codec"))
    assert read_preset(tmp_path / "voice.npz").ids == back.ids, "nobody asks whose it is"


def test_presets_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "voice.npz"
    for nothing in (Prompt(), Prompt([1], ["en"]), replace(prompt(3, 2), ids=[])):
        with pytest.raises(ValueError, match=r"voice\.npz: a preset has text and codes"):
            write_preset(path, nothing)
    assert not path.exists()
    np.savez(path, audio_tokens=np.zeros((1, 3, 8)))
    with pytest.raises(ValueError, match=r"voice\.npz is not a voice preset"):
        read_preset(path)
    np.savez(path, audio_tokens=np.zeros((3, 8)), text_tokens=np.zeros((1, 2)), lang_code=0)
    with pytest.raises(ValueError, match=r"audio_tokens is \(3, 8\)"):
        read_preset(path)
    np.savez(path, audio_tokens=np.zeros((1, 3, 8)), text_tokens=np.zeros((1, 2)), lang_code=3)
    with pytest.raises(ValueError, match="lang_code 3"):
        read_preset(path)
    np.savez(path, audio_tokens=np.array([{}]), text_tokens=np.zeros((1, 2)), lang_code=3)
    with pytest.raises(ValueError, match=r"voice\.npz is not a voice preset"):
        read_preset(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"voice\.npz is not a voice preset"):
        read_preset(path)
