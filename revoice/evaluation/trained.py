"""A trained model with what belongs to it."""

from itertools import islice
from pathlib import Path
from typing import Any

from lhotse import CutSet

from revoice.codec import check_codec
from revoice.files import read_json
from revoice.model.checkpoint import load_model
from revoice.model.valle import AR, NAR
from revoice.text import Tokenizer, check_tokenizer, load_tokenizer
from revoice.text.cuts import check_tokens


def load_trained(
    model: str | Path, tokenizer: str | Path, codec: str | Path, cuts: str | Path | None = None
) -> tuple[AR, NAR, dict[str, Any], Tokenizer]:
    """The parts of a model, its JSON and the tokenizer.

    `model` is the safetensors of both parts, `codec` a codec.json, `cuts` a manifest of tokenized
    cuts, of which the first stands for all; None: there are none. Raises ValueError where they do
    not belong together.
    """
    ar, nar, meta = load_model(Path(model).with_suffix(""))
    loaded = load_tokenizer(tokenizer)
    check_tokenizer(loaded, meta)
    check_codec(read_json(codec), meta, str(model))
    for cut in islice(CutSet.from_jsonl_lazy(cuts), 1) if cuts else ():
        check_tokens(cut, loaded)
    return ar, nar, meta, loaded
