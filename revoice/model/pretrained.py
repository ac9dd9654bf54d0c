"""The originals' checkpoints: their `.pt` in and out."""

import argparse
import pathlib
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from revoice.files import atomic, sha256
from revoice.model import PARTS
from revoice.model.checkpoint import State, check_state, load_meta, read_state, save_model
from revoice.model.valle import ModelConfig, tied_tensors

# Rows of the published VALL-E X language embedding.
VALLEX_LANGUAGES = ("en", "zh", "ja")
# Padding ids: VALL-E X's phoneme vocabulary, Lifeiteng's symbol tables.
PADS = {"vallex": 3, "valle": 0}
HEAD_WIDTH = 64
# What the originals were trained with: EnCodec at 6 kbps. They do not say with which weights.
CODEC = {"name": "encodec_24khz", "frame_rate": 75, "num_quantizers": 8, "bins": 1024}


def _without_factory(*_: Any) -> dict:
    return {}


# What trainers put beside the weights. All are plain values: building one runs nothing.
HARMLESS: list[Any] = [argparse.Namespace, set, frozenset, torch.torch_version.TorchVersion]
# The factories of a defaultdict, which torch.load only fills as a plain dict.
HARMLESS += [dict, list, int, float, (_without_factory, "collections.defaultdict")]
# A path of another system cannot be made here; its pure form says the same.
HARMLESS += [
    (pure, f"{module}.{prefix}{pure.__name__.removeprefix('Pure')}")
    for pure in (pathlib.PurePosixPath, pathlib.PureWindowsPath)
    for module in ("pathlib", "pathlib._local")
    for prefix in ("", "Pure")
]


def recognize(
    state: Mapping[str, Tensor],
    name: str,
    heads: int | None = None,
    languages: Sequence[str] | None = None,
    pad: int | None = None,
) -> ModelConfig:
    """The sizes of a complete state dict in the originals' layout, from its tensors.

    Args:
        name: the file, for errors.
        heads: the tensors do not tell; by default a head is 64 wide, as in the published models.
        languages: names of the language embedding's rows; by default en, zh, ja if they are three.
        pad: padding id of the text; by default 3 for VALL-E X and 0 for VALL-E.

    Raises ValueError where a tensor is missing, unexpected, of another shape than the others ask
    for, or tied to one with other values.
    """
    text, audio = "ar_text_embedding.word_embeddings.weight", "nar_audio_embeddings"
    if text not in state or state[text].dim() != 2:
        raise ValueError(f"{name} holds no VALL-E: there is no tensor {text} (symbols, width)")
    text_symbols, width = state[text].shape
    rows = state.get("ar_language_embedding.word_embeddings.weight")
    if rows is None:
        languages = ()
    elif languages is None and len(rows) == len(VALLEX_LANGUAGES):
        languages = VALLEX_LANGUAGES
    elif languages is None or len(languages) != len(rows):
        raise ValueError(
            f"{name}: ar_language_embedding.word_embeddings.weight has {len(rows)} rows; "
            f"name that many languages, not {list(languages or ())}"
        )
    layout: Literal["valle", "vallex"] = "vallex" if languages else "valle"
    layers, of_nar = (_count(state, rf"{part}_decoder\.layers\.(\d+)\.") for part in PARTS)
    config = ModelConfig(
        layout=layout,
        width=width,
        layers=layers,
        nar_layers=None if of_nar == layers else of_nar,
        heads=heads or max(1, width // HEAD_WIDTH),
        text_symbols=text_symbols,
        quantizers=_count(state, rf"{audio}\.(\d+)\."),
        languages=tuple(languages),
        pad=PADS[layout] if pad is None else pad,
    )
    check_state(state, config, list(PARTS), name)
    return config


def import_checkpoint(
    pt_path: str | Path,
    stem: str | Path,
    heads: int | None = None,
    languages: Sequence[str] | None = None,
    pad: int | None = None,
    vallex_tokenizer: dict | None = None,
    tokenizer: dict | None = None,
    codec: dict | None = None,
) -> ModelConfig:
    """Convert an original's `.pt` to `{stem}.safetensors` and `{stem}.json`, and return its sizes.

    `heads`, `languages` and `pad` as in `recognize`. `vallex_tokenizer` is what a model stores of
    VALL-E X's tokenizer, and is stored if the checkpoint has that model's languages. Of any other,
    the file does not tell the symbol table: `tokenizer` is stored, null where it is not known.
    `codec` is that of its training, for the originals `CODEC`; what we exported names its own.
    Raises ValueError where `read_checkpoint` or `recognize` does.
    """
    state, said = _read(pt_path)
    config = recognize(state, str(pt_path), heads, languages, pad)
    published = config.languages[: len(VALLEX_LANGUAGES)] == VALLEX_LANGUAGES
    meta = {
        "model": config,
        "tokenizer": vallex_tokenizer if published else tokenizer,
        "codec": said if isinstance(said, dict) and "name" in said else codec,
        "source": {"file": Path(pt_path).name, "sha256": sha256(pt_path)},
    }
    save_model(stem, state, meta)
    return config


def export_checkpoint(stem: str | Path, pt_path: str | Path) -> None:
    """Write `{stem}.safetensors` as an original's `.pt`: {"model": state dict}, tied ones shared.

    Beside "model" is "codec", which the originals do not look at. Raises ValueError where the file
    is not one complete model.
    """
    meta, state = load_meta(stem), read_state(stem, "")
    check_state(state, meta["model"], list(PARTS), f"{stem}.safetensors")
    if meta["model"].text_positions != "symbols":
        raise ValueError(
            f"{stem}.json has text positions in {meta['model'].text_positions}, which the "
            "original's programs do not know. Train with `text_positions: symbols` to export."
        )
    if meta["model"].sounds:
        raise ValueError(
            f"{stem}.json has a NAR that predicts all codebooks at once, which the original's "
            "programs do not know. Train with `nar: stages` to export."
        )
    for output, embedding in tied_tensors(meta["model"].quantizers):
        state[output] = state[embedding]
    with atomic(pt_path) as temporary:
        torch.save({"model": state, "codec": meta.get("codec")}, temporary)


def read_checkpoint(path: str | Path) -> State:
    """The state dict of a `.pt`, read without running anything in it.

    Tensors are mapped from the file where its format allows. Raises ValueError for a file that
    needs any class beyond tensors and a few harmless ones, and for one that holds no state dict.
    """
    return _read(path)[0]


def _read(path: str | Path) -> tuple[State, Any]:
    """The state dict of a `.pt`, and what it says of the codec."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|[Cc]lass|[Ff]unction) ([\w.]+\.[\w.]+)", str(error))
        if found is None:
            raise ValueError(f"{path} is not a checkpoint that torch.load can read") from error
        raise ValueError(
            f"{path} is refused: reading it would run {found[1]}, which is neither a tensor nor "
            'one of the harmless classes. If you trust its origin, save the dict under "model" '
            "alone with torch.save, where it was made."
        ) from None
    except Exception as error:  # of a damaged file, torch raises whatever its readers meet
        raise ValueError(f"{path} is not a checkpoint that torch.load can read: {error}") from None
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f'{path} holds no state dict, neither under "model" nor by itself')
    wrong = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(
            f'{path} holds no state dict under "model" nor by itself; '
            f"these are no tensors: {', '.join(wrong[:10])}"
        )
    return {str(key): value.detach() for key, value in state.items()}, content.get("codec")


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many indices a numbered group of tensors has."""
    return 1 + max((int(found[1]) for k in state if (found := re.match(pattern, k))), default=-1)
