"""The models compute what the originals compute, on the originals' small random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from revoice.model.generate import Request, synthesize
from revoice.model.losses import ar_loss, ar_top10, nar_loss, nar_top10
from revoice.model.pretrained import recognize
from revoice.model.prompts import Prompt, read_preset, write_preset
from revoice.model.valle import AR, NAR, ModelConfig, tied_tensors

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


def test_greedy_codes(shared: Path) -> None:
    folder = shared / "parity" / "vallex"
    expected, config = read(folder)
    ar, nar = load(folder, config)
    tensors = load_file(folder / "greedy.safetensors")
    requests, references = [], []
    for case in expected["greedy_cases"]:
        i, language = case["case"], case["text_language"]
        ids, prompt_ids = tensors[f"text_{i}"].tolist(), tensors[f"prompt_text_{i}"].tolist()
        prompt = Prompt(
            prompt_ids,
            [case["prompt_language"]] * len(prompt_ids),
            tensors[f"prompt_codes_{i}"].numpy(),
        )
        languages = language if isinstance(language, list) else [language] * len(ids)
        requests.append(Request(ids, languages, prompt))
        references.append(tensors[f"expected_codes_{i}"].numpy())
        assert len(references[-1]) == case["frames"]
    assert requests
    singly = [synthesize(ar, nar, [request])[0] for request in requests]
    together = synthesize(ar, nar, requests)
    for one, batched, reference in zip(singly, together, references, strict=True):
        np.testing.assert_array_equal(one.codes, reference)
        np.testing.assert_array_equal(batched.codes, reference)
        assert one.ended == batched.ended


def test_presets(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "parity" / "presets").glob("*.npz"))
    assert paths
    for path in paths:
        prompt = read_preset(path)
        write_preset(tmp_path / path.name, prompt)
        with np.load(path) as before, np.load(tmp_path / path.name) as after:
            assert set(after) == set(before)
            for name in before:
                assert after[name].dtype == before[name].dtype
                np.testing.assert_array_equal(after[name], before[name])
            order = {0: "zh", 1: "ja", 2: "en"}
            assert set(prompt.languages) == {order[int(before["lang_code"])]}
            assert prompt.codes.shape == before["audio_tokens"].shape[1:]
            assert list(prompt.ids) == before["text_tokens"][0].tolist()


def test_checkpoint_layout(shared: Path) -> None:
    layout = json.loads((shared / "parity" / "vallex" / "checkpoint_layout.json").read_text())
    shapes = {name: tuple(shape) for name, shape in layout["tensors"].items()}
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    for tied in layout["shared_tensors"]:
        for name in tied[1:]:
            state[name] = state[tied[0]]
    config = recognize(state, "checkpoint_layout.json")
    assert (config.width, config.layers) == (layout["d_model"], layout["num_layers"])
    assert config.heads == layout["nhead"]
    assert config.layout == "vallex"
    tied_pairs = {frozenset(pair) for pair in tied_tensors(config.quantizers)}
    assert tied_pairs == {frozenset(pair) for pair in layout["shared_tensors"]}
    with torch.device("meta"):
        ours = AR(config).state_dict() | NAR(config).state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == shapes
