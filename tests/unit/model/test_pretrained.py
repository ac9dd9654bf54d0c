"""The originals' checkpoints: round trips, recognition, refusals."""

import argparse
import collections
import os
import pathlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from revoice.files import sha256
from revoice.model.checkpoint import load_meta, load_model, load_part, save_model
from revoice.model.pretrained import (
    CODEC,
    export_checkpoint,
    import_checkpoint,
    read_checkpoint,
    recognize,
)
from revoice.model.valle import AR, NAR, ModelConfig

CONFIG = ModelConfig("vallex", 32, 2, 4, text_symbols=20, languages=("en", "zh", "ja"), pad=3)
PLAIN = ModelConfig("valle", 32, 3, 2, text_symbols=11, quantizers=4)


def state_of(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """A complete state dict, tied tensors shared, as the originals save it."""
    torch.manual_seed(seed)
    return dict(AR(config).state_dict()) | dict(NAR(config).state_dict())


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def as_a_trainer_writes_it(state: dict[str, Tensor]) -> dict[str, Any]:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    return {
        "model": state,
        "model_avg": None,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"base_lrs": [0.05], "epoch": 3},
        "sampler": {
            "diagnostics": collections.defaultdict(list, {0: [1, 2]}),
            "counts": collections.Counter("abc"),
        },
        "grad_scaler": None,
        "exp_dir": pathlib.PosixPath("exp/valle"),
        "manifest": pathlib.PurePosixPath("data/cuts.jsonl.gz"),
        "params": argparse.Namespace(lr=0.05, folder=Path("exp"), tags={"a", "b"}),
        "best_train_loss": float("inf"),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "torch_version": torch.__version__,
    }


@pytest.mark.parametrize("config", [CONFIG, PLAIN, replace(PLAIN, nar_layers=1)])
@pytest.mark.parametrize("wrap", [as_a_trainer_writes_it, lambda state: state])
@pytest.mark.parametrize("zipped", [True, False])
def test_import_and_export(tmp_path: Path, config: ModelConfig, wrap: Any, zipped: bool) -> None:
    state = state_of(config)
    source = tmp_path / "epoch-3.pt"
    torch.save(wrap(state), source, _use_new_zipfile_serialization=zipped)
    tokenizer = {"name": "vallex", "sha256": "0" * 64}
    imported = import_checkpoint(
        source, tmp_path / "model", heads=config.heads, vallex_tokenizer=tokenizer
    )
    assert imported == config
    meta = load_meta(tmp_path / "model")
    assert meta["model"] == config
    assert meta["source"] == {"file": "epoch-3.pt", "sha256": sha256(source)}
    assert meta["tokenizer"] == (tokenizer if config is CONFIG else None)

    ar, nar, _ = load_model(tmp_path / "model")
    assert equal(dict(ar.state_dict()) | dict(nar.state_dict()), state)

    export_checkpoint(tmp_path / "model", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert equal(back["model"], state)
    tied = back["model"]["nar_predict_layers.0.weight"]
    assert (
        tied.data_ptr() == back["model"]["nar_audio_embeddings.2.word_embeddings.weight"].data_ptr()
    )


def test_codec_of_an_original(tmp_path: Path) -> None:
    torch.save({"model": state_of(PLAIN)}, tmp_path / "epoch-1.pt")
    for codec in (CODEC, None):
        import_checkpoint(tmp_path / "epoch-1.pt", tmp_path / "model", heads=2, codec=codec)
        assert load_meta(tmp_path / "model")["codec"] == codec


def test_an_exported_model_keeps_its_codec(tmp_path: Path) -> None:
    world = {**CODEC, "name": "world", "sha256": "3a" * 32}
    save_model(tmp_path / "model", state_of(PLAIN), {"model": PLAIN, "codec": world})
    export_checkpoint(tmp_path / "model", tmp_path / "mine.pt")
    import_checkpoint(tmp_path / "mine.pt", tmp_path / "back", heads=2, codec=CODEC)
    assert load_meta(tmp_path / "back")["codec"] == world

    save_model(tmp_path / "model", state_of(PLAIN), {"model": PLAIN})
    export_checkpoint(tmp_path / "model", tmp_path / "mine.pt")
    import_checkpoint(tmp_path / "mine.pt", tmp_path / "back", heads=2, codec=CODEC)
    assert load_meta(tmp_path / "back")["codec"] == CODEC


def test_what_the_originals_do_not_know_is_not_exported(tmp_path: Path) -> None:
    placed = replace(PLAIN, text_positions="frames")
    save_model(tmp_path / "model", state_of(placed), {"model": placed})
    with pytest.raises(ValueError, match=r"model\.json has text positions in frames, .* to export"):
        export_checkpoint(tmp_path / "model", tmp_path / "mine.pt")
    assert not (tmp_path / "mine.pt").exists()


def test_half_precision_is_kept_in_the_file_and_computed_in_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in state_of(CONFIG).items()}
    torch.save(state, tmp_path / "half.pt")
    import_checkpoint(tmp_path / "half.pt", tmp_path / "model", heads=4)
    ar, _ = load_part("ar", tmp_path / "model")
    assert {parameter.dtype for parameter in ar.parameters()} == {torch.float32}
    export_checkpoint(tmp_path / "model", tmp_path / "back.pt")
    assert equal(read_checkpoint(tmp_path / "back.pt"), state)


def test_heads_and_languages_by_argument() -> None:
    state = state_of(CONFIG)
    assert recognize(state, "x.pt").heads == 1
    assert recognize(state, "x.pt", heads=8, pad=1) == ModelConfig(
        "vallex", 32, 2, 8, text_symbols=20, languages=("en", "zh", "ja"), pad=1
    )
    for part in ("ar", "nar"):
        name = f"{part}_language_embedding.word_embeddings.weight"
        state[name] = state[name][:2]
    with pytest.raises(ValueError, match="2 rows; name that many"):
        recognize(state, "x.pt")
    assert recognize(state, "x.pt", languages=["de", "fr"]).languages == ("de", "fr")


def test_tensors_that_do_not_fit_are_named() -> None:
    state = state_of(CONFIG)
    state["ar_decoder.layers.1.linear1.weight"] = torch.zeros(96, 32)
    del state["nar_decoder.layers.0.norm1.norm.bias"]
    state["extra.weight"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"model\.pt does not fit") as caught:
        recognize(state, "model.pt")
    message = str(caught.value)
    assert "ar_decoder.layers.1.linear1.weight is (96, 32), expected (128, 32)" in message
    assert "nar_decoder.layers.0.norm1.norm.bias (32,) is missing" in message
    assert "extra.weight (3,) is unexpected" in message
    with pytest.raises(ValueError, match=r"no VALL-E.*ar_text_embedding"):
        recognize({"weight": torch.zeros(3)}, "model.pt")


def test_tied_tensors_that_disagree(tmp_path: Path) -> None:
    state = state_of(CONFIG)
    state["nar_predict_layers.1.weight"] = state["nar_predict_layers.1.weight"] + 1e-3
    torch.save({"model": state}, tmp_path / "untied.pt")
    with pytest.raises(
        ValueError, match=r"untied\.pt.*nar_predict_layers\.1.*nar_audio_embeddings\.3"
    ):
        import_checkpoint(tmp_path / "untied.pt", tmp_path / "model")
    assert not (tmp_path / "model.safetensors").exists()


class RunsCode:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["REVOICE_TEST_TRAP"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    trap, path = tmp_path / "trap", tmp_path / "evil.pt"
    monkeypatch.setenv("REVOICE_TEST_TRAP", str(trap))
    content = {"model": state_of(PLAIN), "extra": RunsCode()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"evil\.pt is refused: .*mkdir"):
        read_checkpoint(path)
    assert not trap.exists()
    # The trap works: loading without the guard springs it.
    torch.load(path, weights_only=False)
    assert trap.is_dir()


def test_a_bare_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, path = tmp_path / "trap", tmp_path / "evil.pt"
    monkeypatch.setenv("REVOICE_TEST_TRAP", str(trap))
    path.write_bytes(pickle.dumps(RunsCode(), protocol=2))
    with pytest.raises(ValueError, match=r"evil\.pt"):
        read_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"page\.pt is not a checkpoint"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        read_checkpoint(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", [{"epoch": 3}, {"model": {"a": 1}}, {"model": {}}, [1]])
def test_a_checkpoint_without_a_model(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match=r"empty\.pt holds no state dict"):
        read_checkpoint(tmp_path / "empty.pt")
