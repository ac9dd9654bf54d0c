"""A voice that is given away: half precision, and prompts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from revoice.model.checkpoint import load_model, read_state, save_model
from revoice.model.pack import choose_prompts, write_half, write_prompt
from revoice.model.valle import AR, NAR, ModelConfig

CONFIG = ModelConfig("valle", 16, 1, 2, text_symbols=9, text_positions="frames")


def cut(speaker: str, seconds: float, name: str = "") -> Any:
    said = SimpleNamespace(speaker=speaker, text=f"{speaker} says {seconds:g}")
    return SimpleNamespace(
        id=name or f"{speaker}-{seconds}",
        duration=seconds,
        supervisions=[said],
        sampling_rate=24000,
        load_audio=lambda: np.full((1, round(seconds * 24000)), 0.25, np.float32),
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    ar, nar = AR(CONFIG), NAR(CONFIG)
    save_model(tmp_path / "model", ar.state_dict() | nar.state_dict(), {"model": CONFIG, "a": 1})
    return tmp_path / "model"


def test_half_the_size_and_the_same_model(model: Path, tmp_path: Path) -> None:
    write_half(model, tmp_path / "half")
    state = read_state(tmp_path / "half", "")
    assert {value.dtype for value in state.values()} == {torch.float16}
    files = (Path(f"{stem}.safetensors") for stem in (model, tmp_path / "half"))
    whole, half = (file.stat().st_size for file in files)
    assert half < 0.6 * whole
    ar, nar, meta = load_model(tmp_path / "half")
    assert meta["a"] == 1
    assert meta["model"] == CONFIG
    for part in (ar, nar):
        for name, value in part.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.allclose(value, read_state(model, name)[name], rtol=1e-3, atol=1e-4)


def test_what_half_precision_cannot_hold_is_refused(model: Path, tmp_path: Path) -> None:
    state = read_state(model, "")
    state["ar_decoder.norm.weight"][0] = 1e6
    save_model(model, state, {"model": CONFIG})
    with pytest.raises(ValueError, match=r"ar_decoder\.norm\.weight exceed half precision"):
        write_half(model, tmp_path / "half")
    assert not (tmp_path / "half.safetensors").exists()


def test_prompts_of_those_who_speak_most() -> None:
    cuts = [cut("a", 1), cut("a", 2), cut("b", 4), cut("b", 9), cut("c", 5), cut("d", 3.5)]
    chosen = choose_prompts(cuts, 3, seed=1)
    assert [c.id for c in chosen] == ["b-4", "c-5", "d-3.5"]
    assert [c.id for c in choose_prompts(reversed(cuts), 3, seed=1)] == [c.id for c in chosen]
    assert [c.id for c in choose_prompts([cut("a", 1), cut("a", 2)], 3, seed=1)] == ["a-2"]
    many = [cut("a", 3 + i / 10, f"a{i}") for i in range(20)]
    assert len({choose_prompts(many, 3, seed)[0].id for seed in range(20)}) > 5


def test_a_prompt_is_sound_and_words(tmp_path: Path) -> None:
    write_prompt(cut("am_michael+bf/emma", 3), tmp_path / "prompts")
    samples, rate = soundfile.read(tmp_path / "prompts" / "am_michael+bf_emma.wav")
    assert (len(samples), rate) == (72000, 24000)
    text = (tmp_path / "prompts" / "am_michael+bf_emma.txt").read_text("utf-8")
    assert text == "am_michael+bf/emma says 3\n"
