"""Model files: our own format, the originals' `.pt` in and out, and growing a pretrained model.

A model, or one part of it, is `{stem}.safetensors` with the originals' tensor names, and
`{stem}.json` with the `ModelConfig` under "model" beside whatever else is known: tokenizer, source.
"""

import argparse
import pathlib
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from revoice.files import atomic, read_json, sha256, write_json
from revoice.model.valle import AR, NAR, ModelConfig, check_tied, tied_tensors

Part = Literal["ar", "nar"]
State: TypeAlias = dict[str, Tensor]

PARTS: dict[Part, type[AR] | type[NAR]] = {"ar": AR, "nar": NAR}

# Rows of the published VALL-E X language embedding.
VALLEX_LANGUAGES = ("en", "zh", "ja")
# Padding ids: VALL-E X's phoneme vocabulary, Lifeiteng's symbol tables.
PADS = {"vallex": 3, "valle": 0}
HEAD_WIDTH = 64


def _without_factory(*_: Any) -> dict:
    return {}


# What trainers put beside the weights. All are plain values: building one runs nothing.
HARMLESS: list[Any] = [
    argparse.Namespace,
    set,
    frozenset,
    # The factories of a defaultdict, which torch.load only fills as a plain dict.
    *(dict, list, int, float),
    (_without_factory, "collections.defaultdict"),
    # A path of another system cannot be made here; its pure form says the same.
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
    (pathlib.PureWindowsPath, "pathlib.WindowsPath"),
    (pathlib.PurePosixPath, "pathlib._local.PosixPath"),
    (pathlib.PureWindowsPath, "pathlib._local.WindowsPath"),
    (pathlib.PurePosixPath, "pathlib._local.PurePosixPath"),
    (pathlib.PureWindowsPath, "pathlib._local.PureWindowsPath"),
    torch.torch_version.TorchVersion,
]


def save_model(stem: str | Path, model: AR | NAR | Mapping[str, Tensor], meta: dict) -> None:
    """Write `{stem}.safetensors` and `{stem}.json`, each atomically.

    Args:
        model: a part, or a state dict; then `meta["model"]` is its `ModelConfig`.
        meta: what else to store, e.g. `{"tokenizer": {...}, "source": {...}}`; JSON values.
    """
    config = model.config if isinstance(model, AR | NAR) else meta["model"]
    state = model.state_dict() if isinstance(model, AR | NAR) else dict(model)
    stored = set()
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        # Tied tensors are written under both names, which safetensors wants as two tensors.
        state[name] = value.clone() if value.data_ptr() in stored else value
        stored.add(value.data_ptr())
    with atomic(f"{stem}.safetensors") as temporary:
        save_file(state, temporary)
    write_json(f"{stem}.json", {**meta, "model": asdict(config)})


def load_meta(stem: str | Path) -> dict[str, Any]:
    """Content of `{stem}.json`, with a `ModelConfig` under "model"."""
    meta = read_json(f"{stem}.json")
    try:
        meta["model"] = ModelConfig(**meta["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{stem}.json does not describe a model: {error}") from None
    return meta


@overload
def load_part(part: Literal["ar"], stem: str | Path) -> tuple[AR, dict[str, Any]]: ...
@overload
def load_part(part: Literal["nar"], stem: str | Path) -> tuple[NAR, dict[str, Any]]: ...
def load_part(part: Part, stem: str | Path) -> tuple[AR | NAR, dict[str, Any]]:
    """The AR or the NAR of `{stem}.safetensors`, which may hold both, and its meta data.

    Weights are float32 on the CPU. Raises ValueError naming the tensors where the file does not
    hold what `{stem}.json` says.
    """
    meta = load_meta(stem)
    state = _read_state(stem, f"{part}_")
    return build(part, meta["model"], state, f"{stem}.safetensors"), meta


def load_model(stem: str | Path) -> tuple[AR, NAR, dict[str, Any]]:
    """Both parts of `{stem}.safetensors` and the meta data."""
    ar, meta = load_part("ar", stem)
    return ar, load_part("nar", stem)[0], meta


def build(part: Part, config: ModelConfig, state: State, name: str) -> AR | NAR:
    """A part with the tensors of `state`, as float32; `name` says in errors where they are from."""
    check_state(state, config, [part], name)
    with torch.device("meta"):  # no memory and no time for values that are replaced
        module = PARTS[part](config)
    floats = {key: value.to(torch.float32) for key, value in state.items()}
    module.load_state_dict(floats, assign=True)
    if isinstance(module, NAR):
        module.tie()
    return module


def assemble(ar_stem: str | Path, nar_stem: str | Path, stem: str | Path, meta: dict) -> None:
    """Join the AR of one file and the NAR of another as `{stem}.safetensors` and `{stem}.json`.

    Raises ValueError where their sizes, languages or tokenizers differ.
    """
    ar_meta, nar_meta = load_meta(ar_stem), load_meta(nar_stem)
    ar_config = replace(ar_meta["model"], dropout=0.0)
    if ar_config != replace(nar_meta["model"], dropout=0.0):
        raise ValueError(
            f"{ar_stem} and {nar_stem} do not belong together: {_differences(ar_meta, nar_meta)}"
        )
    if ar_meta.get("tokenizer") != nar_meta.get("tokenizer"):
        raise ValueError(
            f"{ar_stem} and {nar_stem} were trained with different tokenizers: "
            f"{ar_meta.get('tokenizer')} and {nar_meta.get('tokenizer')}"
        )
    state = _read_state(ar_stem, "ar_") | _read_state(nar_stem, "nar_")
    check_state(state, ar_config, list(PARTS), f"{ar_stem} and {nar_stem}")
    save_model(stem, state, {"tokenizer": ar_meta.get("tokenizer"), **meta, "model": ar_config})


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
    config = ModelConfig(
        layout=layout,
        width=width,
        layers=_count(state, r"ar_decoder\.layers\.(\d+)\."),
        heads=heads or max(1, width // HEAD_WIDTH),
        text_symbols=text_symbols,
        quantizers=_count(state, rf"{audio}\.(\d+)\."),
        languages=tuple(languages),
        pad=PADS[layout] if pad is None else pad,
    )
    check_state(state, config, list(PARTS), name)
    return config


def check_state(
    state: Mapping[str, Tensor], config: ModelConfig, parts: Sequence[Part], name: str
) -> None:
    """Raise ValueError naming missing, unexpected and misshapen tensors, and tied ones that differ.

    Args:
        parts: which parts `state` holds.
        name: the file, for the message.
    """
    with torch.device("meta"):
        expected = {
            key: tuple(value.shape)
            for part in parts
            for key, value in PARTS[part](config).state_dict().items()
        }
    faults = [
        f"{key} is {tuple(state[key].shape)}, expected {shape}"
        if key in state
        else f"{key} {shape} is missing"
        for key, shape in expected.items()
        if key not in state or tuple(state[key].shape) != shape
    ]
    faults += [
        f"{key} {tuple(value.shape)} is unexpected"
        for key, value in state.items()
        if key not in expected
    ]
    if faults:
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise ValueError(
            f"{name} does not fit layout {config.layout} of width {config.width} with "
            f"{config.layers} layers, {config.text_symbols} text symbols, {config.quantizers} "
            f"quantizers, languages {list(config.languages)}:\n  " + "\n  ".join(faults[:20]) + more
        )
    try:
        check_tied(dict(state), config.quantizers)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def import_checkpoint(
    pt_path: str | Path,
    stem: str | Path,
    heads: int | None = None,
    languages: Sequence[str] | None = None,
    pad: int | None = None,
    vallex_tokenizer: dict | None = None,
    tokenizer: dict | None = None,
) -> ModelConfig:
    """Convert an original's `.pt` to `{stem}.safetensors` and `{stem}.json`, and return its sizes.

    The file is a dict with the state dict under "model", or the bare state dict. `heads`,
    `languages` and `pad` as in `recognize`. `vallex_tokenizer` is what a model stores of VALL-E X's
    tokenizer, and is stored if the checkpoint has that model's languages. Of any other, the file
    does not tell the symbol table: what is stored is `tokenizer`, null where it is not known.
    Raises ValueError where `read_checkpoint` or `recognize` does.
    """
    state = read_checkpoint(pt_path)
    config = recognize(state, str(pt_path), heads, languages, pad)
    published = config.languages[: len(VALLEX_LANGUAGES)] == VALLEX_LANGUAGES
    meta = {
        "model": config,
        "tokenizer": vallex_tokenizer if published else tokenizer,
        "source": {"file": Path(pt_path).name, "sha256": sha256(pt_path)},
    }
    save_model(stem, state, meta)
    return config


def export_checkpoint(stem: str | Path, pt_path: str | Path) -> None:
    """Write `{stem}.safetensors` as an original's `.pt`: {"model": state dict}, tied ones shared.

    Raises ValueError where the file is not one complete model.
    """
    config = load_meta(stem)["model"]
    state = _read_state(stem, "")
    check_state(state, config, list(PARTS), f"{stem}.safetensors")
    for output, embedding in tied_tensors(config.quantizers):
        state[output] = state[embedding]
    with atomic(pt_path) as temporary:
        torch.save({"model": state}, temporary)


def read_checkpoint(path: str | Path) -> State:
    """The state dict of a `.pt`, read without running anything in it.

    Tensors are mapped from the file where its format allows. Raises ValueError for a file that
    needs any class beyond tensors and a few harmless ones, and for one that holds no state dict.
    """
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
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
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
    return {str(key): value.detach() for key, value in state.items()}


@overload
def grow(
    model: AR, languages: Mapping[str, str] | None = None, text_symbols: int = 0, seed: int = 0
) -> AR: ...
@overload
def grow(
    model: NAR, languages: Mapping[str, str] | None = None, text_symbols: int = 0, seed: int = 0
) -> NAR: ...
def grow(
    model: AR | NAR,
    languages: Mapping[str, str] | None = None,
    text_symbols: int = 0,
    seed: int = 0,
) -> AR | NAR:
    """A copy of `model` with rows for new languages and text symbols; old rows are untouched.

    Args:
        languages: new language to the existing one whose row it starts from, or "mean" for the
            mean of all. They are appended in this order.
        text_symbols: how many there shall be; 0 leaves them. New rows are drawn with mean and
            standard deviation of the old ones, per dimension.
        seed: of that draw. AR and NAR draw from their own rows.

    Raises ValueError for a language that is there already or a start that is not, and for fewer
    symbols than there are.
    """
    config, part = model.config, next(k for k, kind in PARTS.items() if isinstance(model, kind))
    languages = dict(languages or {})
    text_symbols = text_symbols or config.text_symbols
    if text_symbols < config.text_symbols:
        raise ValueError(f"{text_symbols} text symbols are fewer than {config.text_symbols}")
    if languages and config.layout != "vallex":
        raise ValueError('layout "valle" has no language embedding that could grow')
    for language, start in languages.items():
        if language in config.languages:
            raise ValueError(f'language "{language}" is in the model already')
        if start not in (*config.languages, "mean"):
            raise ValueError(f'"{start}" is neither "mean" nor one of {list(config.languages)}')

    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    name = f"{part}_text_embedding.word_embeddings.weight"
    rows = state[name]
    generator = torch.Generator().manual_seed(seed)
    new = torch.randn(text_symbols - len(rows), config.width, generator=generator)
    if len(new):
        state[name] = torch.cat((rows, (rows.mean(0) + rows.std(0) * new.to(rows)).to(rows.dtype)))
    if languages:
        name = f"{part}_language_embedding.word_embeddings.weight"
        rows = state[name]
        starts = [
            rows.mean(0) if start == "mean" else rows[config.languages.index(start)]
            for start in languages.values()
        ]
        state[name] = torch.cat((rows, torch.stack(starts)))
    grown = replace(config, text_symbols=text_symbols, languages=(*config.languages, *languages))
    return build(part, grown, state, "the grown model").train(model.training)


def _read_state(stem: str | Path, prefix: str) -> State:
    path = Path(f"{stem}.safetensors")
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many indices a numbered group of tensors has."""
    return 1 + max((int(found[1]) for k in state if (found := re.match(pattern, k))), default=-1)


def _differences(ar_meta: dict, nar_meta: dict) -> str:
    ar, nar = asdict(ar_meta["model"]), asdict(nar_meta["model"])
    return ", ".join(f"{k} {ar[k]} and {nar[k]}" for k in ar if ar[k] != nar[k])
