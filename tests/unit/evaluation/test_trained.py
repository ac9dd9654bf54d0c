"""A model is not judged with what it was not trained with."""

from pathlib import Path
from typing import Any

import pytest
from lhotse import CutSet

from revoice.evaluation.trained import load_trained
from revoice.files import write_json
from revoice.model.checkpoint import save_model
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.text import EspeakTokenizer
from tests.helpers.synthetic import write_cuts

CODEC = {"name": "world", "sha256": "0" * 64, "frame_rate": 37.5}
CODEC |= {"num_quantizers": 8, "bins": 1024}
TOKENIZER = EspeakTokenizer.build([("so so", "en")])
OTHER = EspeakTokenizer.build([("quick", "en")])


def write_all(folder: Path, **changes: Any) -> tuple[Path, Path, Path, Path]:
    """A model, a tokenizer, a codec.json and cuts that belong together, but for the changes."""
    config = ModelConfig("valle", 16, 1, 2, text_symbols=TOKENIZER.num_symbols)
    state = {**AR(config).state_dict(), **NAR(config).state_dict()}
    meta = {"model": config, "tokenizer": TOKENIZER.meta, "codec": CODEC}
    save_model(folder / "model", state, meta)
    changes.get("tokenizer", TOKENIZER).save(folder / "tokenizer.json")
    write_json(folder / "codec.json", CODEC | changes.get("codec", {}))
    cuts = CutSet.from_file(write_cuts(folder / "cuts", 2)).to_eager()
    of = changes.get("tokens", TOKENIZER)
    for cut in cuts:
        cut.supervisions[0].custom["tokenizer"] = f"{of.name}:{of.digest()}"
    cuts.to_file(folder / "cuts.jsonl.gz")
    names = "model.safetensors", "tokenizer.json", "codec.json", "cuts.jsonl.gz"
    model, tokenizer, codec, manifest = (folder / name for name in names)
    return model, tokenizer, codec, manifest


def test_what_belongs_together_is_read(tmp_path: Path) -> None:
    ar, nar, meta, tokenizer = load_trained(*write_all(tmp_path))
    assert isinstance(ar, AR)
    assert isinstance(nar, NAR)
    assert meta["tokenizer"] == tokenizer.meta


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": OTHER}, "another symbol table of the tokenizer espeak"),
        ({"codec": {"name": "encodec_24khz"}}, r"model\.safetensors.* world"),
        ({"codec": {"sha256": "1" * 64}}, r"model\.safetensors"),
        ({"tokens": OTHER}, "cut-00000-0"),
    ],
)
def test_what_does_not_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    files = write_all(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_trained(*files)
