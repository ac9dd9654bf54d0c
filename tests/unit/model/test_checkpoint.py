"""Model files: parts, assembly, refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from revoice.files import read_json, write_json
from revoice.model.checkpoint import (
    FORMAT,
    assemble,
    load_meta,
    load_model,
    load_part,
    save_model,
)
from revoice.model.valle import AR, NAR, ModelConfig

CONFIG = ModelConfig("vallex", 32, 2, 4, text_symbols=20, languages=("en", "zh", "ja"), pad=3)
PLAIN = ModelConfig("valle", 32, 3, 2, text_symbols=11, quantizers=4)


CODEC = {
    "name": "world",
    "sha256": "3a" * 32,
    "frame_rate": 37.5,
    "num_quantizers": 8,
    "bins": 1024,
}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_parts_and_assembly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ar, nar = AR(CONFIG), NAR(CONFIG)
    tokenizer = {"name": "espeak", "sha256": "0" * 64}
    save_model(tmp_path / "ar.best", ar, {"tokenizer": tokenizer, "step": 7})
    save_model(tmp_path / "nar", nar, {"tokenizer": tokenizer})
    assert load_part("ar", tmp_path / "ar.best")[1]["step"] == 7
    assemble(tmp_path / "ar.best", tmp_path / "nar", tmp_path / "model", {"seed": 1})
    loaded_ar, loaded_nar, meta = load_model(tmp_path / "model")
    assert equal(loaded_ar.state_dict(), ar.state_dict())
    assert equal(loaded_nar.state_dict(), nar.state_dict())
    assert (meta["tokenizer"], meta["seed"], meta["model"]) == (tokenizer, 1, CONFIG)
    assert not loaded_nar.nar_audio_position.alpha.requires_grad
    assert loaded_ar.ar_audio_position.alpha.requires_grad
    embedding = loaded_nar.nar_audio_embeddings[2].get_parameter("word_embeddings.weight")
    assert loaded_nar.nar_predict_layers[0].weight is embedding

    save_model(tmp_path / "nar", nar, {"tokenizer": {"name": "vallex"}})
    with pytest.raises(ValueError, match="different tokenizers"):
        assemble(tmp_path / "ar.best", tmp_path / "nar", tmp_path / "other", {})
    save_model(tmp_path / "nar", NAR(PLAIN), {"tokenizer": tokenizer})
    with pytest.raises(ValueError, match="layers 2 and 3"):
        assemble(tmp_path / "ar.best", tmp_path / "nar", tmp_path / "other", {})
    assert not (tmp_path / "other.safetensors").exists()


def test_a_nar_may_have_fewer_layers(tmp_path: Path) -> None:
    config = ModelConfig("valle", width=32, layers=3, heads=2, text_symbols=10, nar_layers=1)
    ar, nar = AR(config), NAR(config)
    assert (len(ar.ar_decoder.layers), len(nar.nar_decoder.layers)) == (3, 1)
    save_model(tmp_path / "model", {**ar.state_dict(), **nar.state_dict()}, {"model": config})
    loaded_ar, loaded_nar, meta = load_model(tmp_path / "model")
    assert meta["model"] == config
    for model, loaded in ((ar, loaded_ar), (nar, loaded_nar)):
        assert all(map(torch.equal, model.state_dict().values(), loaded.state_dict().values()))


def test_where_symbols_are_said_is_kept(tmp_path: Path) -> None:
    placed = replace(CONFIG, text_positions="frames")
    ar, nar = AR(placed), NAR(placed)
    save_model(tmp_path / "ar", ar, {})
    save_model(tmp_path / "nar", nar, {})
    assemble(tmp_path / "ar", tmp_path / "nar", tmp_path / "model", {})
    loaded_ar, loaded_nar, meta = load_model(tmp_path / "model")
    assert meta["model"] == placed
    assert equal(loaded_ar.state_dict(), ar.state_dict())
    assert equal(loaded_nar.state_dict(), nar.state_dict())

    save_model(tmp_path / "nar", NAR(CONFIG), {})
    with pytest.raises(ValueError, match="text_positions frames and symbols"):
        assemble(tmp_path / "ar", tmp_path / "nar", tmp_path / "other", {})
    stored = read_json(tmp_path / "ar.json")
    del stored["model"]["text_positions"]  # as models before had none
    write_json(tmp_path / "ar.json", stored)
    with pytest.raises(ValueError, match=r"ar_durations.symbols.weight \(20, 64\) is unexpected"):
        load_part("ar", tmp_path / "ar")
    save_model(tmp_path / "ar", AR(CONFIG), {})
    stored = read_json(tmp_path / "ar.json")
    del stored["model"]["text_positions"]
    write_json(tmp_path / "ar.json", stored)
    assert load_part("ar", tmp_path / "ar")[1]["model"] == CONFIG


def test_parts_of_different_codecs_are_refused(tmp_path: Path) -> None:
    other = {**CODEC, "name": "encodec_24khz", "sha256": "d7" * 32}
    save_model(tmp_path / "ar", AR(CONFIG), {"codec": CODEC})
    save_model(tmp_path / "nar", NAR(CONFIG), {"codec": other})
    with pytest.raises(ValueError, match=r"different codecs: world \(.*\) and encodec_24khz \("):
        assemble(tmp_path / "ar", tmp_path / "nar", tmp_path / "model", {})
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("ar", [CODEC, None, {"name": "world", "bins": 1024}])
@pytest.mark.parametrize("nar", [CODEC, None])
def test_the_whole_says_the_codec_of_its_parts(tmp_path: Path, ar: Any, nar: Any) -> None:
    save_model(tmp_path / "ar", AR(CONFIG), {"codec": ar})
    save_model(tmp_path / "nar", NAR(CONFIG), {"codec": nar} if nar else {})
    assemble(tmp_path / "ar", tmp_path / "nar", tmp_path / "model", {"source": "me"})
    assert load_meta(tmp_path / "model")["codec"] == (nar or ar)
    assemble(tmp_path / "ar", tmp_path / "nar", tmp_path / "model", {"codec": CODEC})
    assert load_meta(tmp_path / "model")["codec"] == CODEC


def test_formats(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "model.json"
    save_model(tmp_path / "model", AR(CONFIG), {"codec": CODEC})
    stored = read_json(path)
    assert stored["format"] == load_meta(tmp_path / "model")["format"] == FORMAT

    write_json(path, {key: value for key, value in stored.items() if key != "format"})
    earlier = load_meta(tmp_path / "model")
    assert (earlier["format"], earlier["model"]) == (1, CONFIG)
    save_model(tmp_path / "again", AR(CONFIG), earlier)
    assert read_json(tmp_path / "again.json")["format"] == FORMAT
    assert not caplog.records

    write_json(path, {**stored, "format": FORMAT + 1})
    with pytest.raises(ValueError, match=r"model\.json has format 3, of a later .* up to format 2"):
        load_part("ar", tmp_path / "model")


def test_broken_native_files_are_named(tmp_path: Path) -> None:
    save_model(tmp_path / "model", AR(CONFIG), {})
    with pytest.raises(ValueError, match=r"model\.safetensors.*\n.*nar_\S+ \(.*\) is missing"):
        load_part("nar", tmp_path / "model")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole"):
        load_part("ar", tmp_path / "model")
    (tmp_path / "model.json").write_text('{"model": {"width": 3}}')
    with pytest.raises(ValueError, match=r"model\.json does not describe a model"):
        load_part("ar", tmp_path / "model")
