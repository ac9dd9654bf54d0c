"""A voice that is given away: half precision."""

from pathlib import Path

import pytest
import torch

from revoice.model.checkpoint import load_model, read_state, save_model
from revoice.model.pack import write_half
from revoice.model.valle import AR, NAR, ModelConfig

CONFIG = ModelConfig("valle", 16, 1, 2, text_symbols=9, text_positions="frames")


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
