"""Model files: a model, or one part of it, as two files of one stem.

`{stem}.safetensors` has the originals' tensor names; `{stem}.json` has the `ModelConfig` under
"model", its format under "format", and under "tokenizer" and "codec" what it was trained with,
beside whatever else is known. Models of format 1 say neither format nor codec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from revoice.codec import differences, in_words
from revoice.files import atomic, read_json, write_json
from revoice.model import PARTS, Part
from revoice.model.valle import AR, NAR, ModelConfig, check_tied

State: TypeAlias = dict[str, Tensor]

FORMAT = 2
# Whole numbers of a model, and the greatest that is believed: before memory is asked for.
SIZES = {"width": 1 << 16, "layers": 1000, "heads": 1 << 16, "text_symbols": 1_000_000}
SIZES |= {"quantizers": 64, "nar_layers": 1000, "sounds": 1 << 16}
OPTIONAL = ("nar_layers", "sounds")


def save_model(stem: str | Path, model: AR | NAR | Mapping[str, Tensor], meta: dict) -> None:
    """Write `{stem}.safetensors` and `{stem}.json`, each atomically.

    Args:
        model: a part, or a state dict; then `meta["model"]` is its `ModelConfig`.
        meta: what else to store, e.g. `{"tokenizer": {...}, "codec": {...}}`; JSON values.
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
    write_json(f"{stem}.json", {**meta, "format": FORMAT, "model": asdict(config)})


def load_meta(stem: str | Path) -> dict[str, Any]:
    """Content of `{stem}.json`, with a `ModelConfig` under "model".

    Raises ValueError for a format that this version does not know, and where no model is described.
    """
    meta = read_json(f"{stem}.json")
    version = meta.setdefault("format", 1) if isinstance(meta, dict) else 1
    if not isinstance(version, int) or version > FORMAT:
        raise ValueError(
            f"{stem}.json has format {version!r}, of a later version of revoice; this version "
            f"reads up to format {FORMAT}. Bring revoice up to date."
        )
    try:
        meta["model"] = ModelConfig(**meta["model"])
        _check_sizes(meta["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{stem}.json does not describe a model: {error}") from None
    return meta


def _check_sizes(config: ModelConfig) -> None:
    sizes = {name: getattr(config, name) for name in SIZES}
    sizes = {k: value for k, value in sizes.items() if value is not None or k not in OPTIONAL}
    if wrong := [name for name, value in sizes.items() if not isinstance(value, int)]:
        raise ValueError(f"no whole number: {', '.join(wrong)}")
    for name, value in sizes.items():
        if not 1 <= value <= SIZES[name]:
            raise ValueError(f"{name} {value} is not in 1 to {SIZES[name]}")
    for name in ("dropout", "attention_dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} {getattr(config, name)} is not in 0 to 1")


@overload
def load_part(part: Literal["ar"], stem: str | Path) -> tuple[AR, dict[str, Any]]: ...
@overload
def load_part(part: Literal["nar"], stem: str | Path) -> tuple[NAR, dict[str, Any]]: ...
def load_part(part: Part, stem: str | Path) -> tuple[AR | NAR, dict[str, Any]]:
    """The AR or the NAR of `{stem}.safetensors`, which may hold both, and its meta data.

    Weights are float32 on the CPU. Raises ValueError naming the tensors where the file does not
    hold what `{stem}.json` says.
    """
    meta, state = load_meta(stem), read_state(stem, f"{part}_")
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

    Raises ValueError where their sizes, languages, tokenizers or codecs differ.
    """
    ar_meta, nar_meta = load_meta(ar_stem), load_meta(nar_stem)
    ar_config = ar_meta["model"].without_dropout()
    if ar_config != nar_meta["model"].without_dropout():
        ar, nar = asdict(ar_meta["model"]), asdict(nar_meta["model"])
        which = ", ".join(f"{k} {ar[k]} and {nar[k]}" for k in ar if ar[k] != nar[k])
        raise ValueError(f"{ar_stem} and {nar_stem} do not belong together: {which}")
    if ar_meta.get("tokenizer") != nar_meta.get("tokenizer"):
        raise ValueError(
            f"{ar_stem} and {nar_stem} were trained with different tokenizers: "
            f"{ar_meta.get('tokenizer')} and {nar_meta.get('tokenizer')}"
        )
    ar_codec, nar_codec = ar_meta.get("codec") or {}, nar_meta.get("codec") or {}
    if differences(ar_codec, nar_codec):
        raise ValueError(
            f"{ar_stem} and {nar_stem} were trained with different codecs: "
            f"{in_words(ar_codec)} and {in_words(nar_codec)}"
        )
    own = {"tokenizer": ar_meta.get("tokenizer"), "codec": {**nar_codec, **ar_codec} or None}
    state = read_state(ar_stem, "ar_") | read_state(nar_stem, "nar_")
    check_state(state, ar_config, list(PARTS), f"{ar_stem} and {nar_stem}")
    save_model(stem, state, {**own, **meta, "model": ar_config})


def check_state(
    state: Mapping[str, Tensor], config: ModelConfig, parts: Sequence[Part], name: str
) -> None:
    """Raise ValueError naming missing, unexpected and misshapen tensors, and tied ones that differ.

    Tensors of other than real numbers do not fit either, nor those that are not finite. `name` is
    the file, for the message; `parts` are those that `state` holds.
    """
    with torch.device("meta"):
        states = [PARTS[part](config).state_dict() for part in parts]
    expected = {key: tuple(value.shape) for each in states for key, value in each.items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    faults = [
        f"{key} is {found[key]}, expected {shape}" if key in found else f"{key} {shape} is missing"
        for key, shape in expected.items()
        if found.get(key) != shape
    ]
    faults += [f"{key} {found[key]} is unexpected" for key in found if key not in expected]
    reals = {key: value.is_floating_point() for key, value in state.items()}
    faults += [f"{key} has {state[key].dtype}, no real numbers" for key in reals if not reals[key]]
    if faults:
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise ValueError(
            f"{name} does not fit layout {config.layout} of width {config.width} with "
            f"{config.layers} layers, {config.text_symbols} text symbols, {config.quantizers} "
            f"quantizers, languages {list(config.languages)}:\n  " + "\n  ".join(faults[:20]) + more
        )
    held = {key: value for key, value in state.items() if not value.is_meta}  # not just a shape
    if lost := [key for key, value in held.items() if not value.isfinite().all()]:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise ValueError(
            f"{name}: {', '.join(lost[:5])}{more} hold infinities or what is no number: the model "
            "is damaged; take another copy of it, or train it again"
        )
    try:
        check_tied(dict(state), config.quantizers)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def read_state(stem: str | Path, prefix: str) -> State:
    path = Path(f"{stem}.safetensors")
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
