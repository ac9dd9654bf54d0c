"""A voice to give away: half the size."""

from pathlib import Path

import torch

from revoice.model import PARTS
from revoice.model.checkpoint import check_state, load_meta, read_state, save_model


def write_half(stem: str | Path, target: str | Path) -> None:
    """Write a whole model, its AR and NAR, as float16 `{target}.safetensors` and its JSON.

    Raises ValueError where `{stem}.safetensors` is not whole, or has values beyond float16.
    """
    meta, state = load_meta(stem), read_state(stem, "")
    check_state(state, meta["model"], list(PARTS), f"{stem}.safetensors")
    half = {name: value.to(torch.float16) for name, value in state.items()}
    if large := [name for name, value in half.items() if not value.isfinite().all()]:
        raise ValueError(f"{stem}.safetensors: {', '.join(large)} exceed half precision")
    save_model(target, half, meta)
