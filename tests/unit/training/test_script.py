"""The script of the rules that train: what it makes of a rule, and what it refuses to start."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
import torch
from lhotse import CutSet

from revoice.codec.identity import identity
from revoice.files import read_json, write_json
from revoice.model.checkpoint import PARTS, load_meta, save_model
from revoice.model.valle import ModelConfig
from revoice.text.espeak import EspeakTokenizer
from tests.helpers.synthetic import write_cuts
from tests.unit.training.conftest import TRAIN

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "train.py"
CODEC = {"name": "world", "sha256": "1" * 64, "frame_rate": 37.5}
CODEC |= {"num_quantizers": 8, "bins": 1024}
SIZE = {"width": 32, "layers": 1, "heads": 2}
TOKENIZER = EspeakTokenizer(["<pad>", "<bos>", "<eos>", *"_abcdefghijklmnopqrst"])


class Input(dict):
    """As Snakemake's: by attribute, and by `get`."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the script on a rule of these values; gives the folder of its outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("revoice.workflow.scripts.script_logging", lambda _: None)

    def run(settings: dict[str, Any] | None, **inputs: str) -> Path:
        if "train" not in inputs:
            inputs |= {split: str(tmp_path / split / "cuts.jsonl.gz") for split in ("train", "dev")}
        files = Input(
            tokenizer=str(tmp_path / "tokenizer.json"),
            codec=str(tmp_path / "codec.json"),
            digests=str(tmp_path / "digests.json"),
            codes=[str(tmp_path / split / "codes.h5") for split in ("train", "dev")],
            **inputs,
        )
        snakemake = SimpleNamespace(
            input=files,
            output=SimpleNamespace(weights="results/mine/ar/model.safetensors"),
            params=SimpleNamespace(
                run={
                    "part": "ar",
                    "train": settings,
                    "model": None if "init" in files else SIZE,
                    "new_languages": {},
                    "weights": None,
                },
                code="code",
            ),
            wildcards=SimpleNamespace(experiment="mine"),
            resources={"gpu": 0},
            threads=1,
            log=["the.log"],
        )
        runpy.run_path(str(SCRIPT), {"snakemake": snakemake})
        return tmp_path / "results/mine/ar"

    for split in ("train", "dev"):
        write_cuts(tmp_path / split, 12)
        with h5py.File(tmp_path / split / "codes.h5", "a") as file:
            file.attrs["codec"] = json.dumps(CODEC, sort_keys=True)
    TOKENIZER.save(tmp_path / "tokenizer.json")
    write_json(tmp_path / "digests.json", {"train": "1", "dev": "2", "test": "3"})
    write_json(tmp_path / "codec.json", {**CODEC, "reason": "as the configuration says"})
    return run


def initial_model(folder: Path, codec: dict[str, Any]) -> dict[str, str]:
    torch.manual_seed(1)
    config = ModelConfig("valle", **SIZE, text_symbols=TOKENIZER.num_symbols, pad=TOKENIZER.pad)
    meta = {"tokenizer": TOKENIZER.meta, "codec": codec}
    save_model(folder / "init", PARTS["ar"](config), meta)
    return {"init": str(folder / "init.safetensors"), "init_meta": str(folder / "init.json")}


def test_a_part_is_trained(run: Callable[..., Path]) -> None:
    out = run({**TRAIN, "steps": 5})
    meta = load_meta(out / "model")
    assert meta["codec"] == identity(CODEC)
    assert meta["tokenizer"] == TOKENIZER.meta
    assert meta["model"].text_symbols == TOKENIZER.num_symbols
    training = read_json(out / "training.json")
    assert training["steps"] == 5
    assert training["code"] == [{"step": 0, "digest": "code"}]
    assert (out / "metrics.csv").exists()


def test_a_part_is_taken_over(run: Callable[..., Path], tmp_path: Path) -> None:
    out = run(None, **initial_model(tmp_path, CODEC))
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "init.safetensors").read_bytes()
    assert read_json(out / "training.json")["steps"] == 0


def test_a_model_of_another_codec_is_refused(run: Callable[..., Path], tmp_path: Path) -> None:
    other = {**CODEC, "name": "encodec_24khz", "sha256": "2" * 64}
    with pytest.raises(ValueError, match=r"init\.json.*encodec_24khz"):
        run({**TRAIN, "steps": 5}, **initial_model(tmp_path, other))
    assert not (tmp_path / "results").exists()


def test_codes_of_another_codec_are_refused(run: Callable[..., Path], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "dev/codes.h5", "a") as file:
        file.attrs["codec"] = json.dumps({**CODEC, "sha256": "3" * 64})
    with pytest.raises(ValueError, match=r"dev/codes\.h5 holds codes of the codec"):
        run({**TRAIN, "steps": 5})


def test_tokens_of_another_tokenizer_are_refused(run: Callable[..., Path], tmp_path: Path) -> None:
    cuts = CutSet.from_file(tmp_path / "dev/cuts.jsonl.gz").to_eager()
    for cut in cuts:
        cut.supervisions[0].custom["tokenizer"] = "vallex:4444"
    cuts.to_file(tmp_path / "dev.jsonl.gz")
    train = str(tmp_path / "train/cuts.jsonl.gz")
    with pytest.raises(ValueError, match="vallex:4444"):
        run({**TRAIN, "steps": 5}, train=train, dev=str(tmp_path / "dev.jsonl.gz"))
