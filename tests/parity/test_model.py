"""The models compute what the originals compute, on the originals' small random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from revoice.metrics import ar_loss, ar_top10, nar_loss, nar_top10
from revoice.model import AR, NAR, ModelConfig

FOLDERS = ("lifeiteng", "vallex")


def read(folder: Path) -> tuple[dict[str, Any], ModelConfig]:
    expected = json.loads((folder / "expected.json").read_text())
    languages = tuple(expected.get("languages", ()))
    config = ModelConfig(
        layout="vallex" if languages else "valle",
        width=expected["d_model"],
        layers=expected["num_layers"],
        heads=expected["nhead"],
        text_symbols=expected["num_text_tokens"],
        quantizers=expected["num_quantizers"],
        languages=languages,
    )
    return expected, config


def load(folder: Path, config: ModelConfig) -> tuple[AR, NAR]:
    state = load_file(folder / "model.safetensors")
    ar, nar = AR(config).eval(), NAR(config).eval()
    ar.load_state_dict({k: v for k, v in state.items() if k.startswith("ar_")})
    nar.load_state_dict({k: v for k, v in state.items() if k.startswith("nar_")})
    return ar, nar


def inputs(
    case: dict[str, Any], utterances: dict[str, Tensor], config: ModelConfig
) -> list[Tensor]:
    """text, text_lens, codes, code_lens, languages of one utterance."""
    text = utterances[f"text_{case['utterance']}"].long()[None]
    codes = utterances[f"codes_{case['utterance']}"].long()[None]
    language = config.languages.index(case["language"]) if "language" in case else 0
    lens = [torch.tensor([text.shape[1]]), torch.tensor([codes.shape[1]])]
    return [text, lens[0], codes, lens[1], torch.full_like(text, language)]


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "parity" / request.param


@torch.inference_mode()
def run(
    case: dict[str, Any], utterances: dict[str, Tensor], ar: AR, nar: NAR
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """logits, loss sum, positions, hits, count of a case."""
    text, text_lens, codes, code_lens, languages = inputs(case, utterances, ar.config)
    if case["stage"] == "ar":
        logits = ar(text, text_lens, codes, code_lens, languages)
        return (
            logits,
            *ar_loss(logits, codes, code_lens),
            *ar_top10(logits, codes, code_lens),
        )
    quantizer, prompt = case["quantizer"], case["prefix_len"]
    logits = nar(text, text_lens, codes, code_lens, quantizer, prompt, languages)
    return (
        logits[:, prompt:],
        *nar_loss(logits, codes, code_lens, quantizer, prompt),
        *nar_top10(logits, codes, code_lens, quantizer, prompt),
    )


def test_losses_and_accuracies(folder: Path) -> None:
    expected, config = read(folder)
    ar, nar = load(folder, config)
    utterances = load_file(folder / "utterances.safetensors")
    cases = expected.get("cases") or expected["train_cases"]
    assert {case["stage"] for case in cases} == {"ar", "nar"}
    for case in cases:
        _, loss, positions, hits, count = run(case, utterances, ar, nar)
        if case["stage"] == "nar":
            frames = utterances[f"codes_{case['utterance']}"].shape[0]
            loss = loss * frames / (frames - case["prefix_len"])
        assert positions == case["positions"], case
        assert loss.item() == pytest.approx(case["loss_sum"], rel=1e-4), case
        # The reference's own division is float32: hits are integers, so this is exact.
        assert (hits / count).item() == pytest.approx(case["top10_accuracy"], abs=1e-6), case


def close(logits: Tensor, reference: Tensor) -> bool:
    return bool((logits - reference).abs().max() <= 1e-4 * reference.abs().max())


def test_logits(folder: Path) -> None:
    expected, config = read(folder)
    ar, nar = load(folder, config)
    utterances = load_file(folder / "utterances.safetensors")
    reference = load_file(folder / "logits_every_10th_position.safetensors")
    seen = set()
    for case in expected.get("cases") or expected["train_cases"]:
        name = f"{case['stage']}_{case['utterance']}"
        if case["stage"] == "nar":
            name += f"_prefix{case['prefix_mode']}_q{case['quantizer']}"
        if name in reference:
            seen.add(name)
            logits = run(case, utterances, ar, nar)[0][0, ::10]
            assert logits.shape == reference[name].shape, name
            assert close(logits, reference[name]), name
    assert seen == set(reference)
