"""Layers that are compiled, one function before their attention and one after it."""

import os
import shutil
from types import MethodType
from typing import Any

import torch
from torch.utils._triton import has_triton

from revoice.model.valle import AR, NAR, Layer


def gains(device: torch.device) -> bool:
    """Whether compiling gains there, and can be done: on a GPU, with Triton and a C compiler."""
    compilers = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return device.type == "cuda" and has_triton() and any(map(shutil.which, compilers))


def compile_layers(model: AR | NAR, **how: Any) -> None:
    """Compile what a model's layers compute around their attention, in place.

    All layers share two functions, for batches of any size. The model's tensors keep their names.
    `how`: to `torch.compile`.
    """
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    how = {"dynamic": True, "recompile_limit": 8 * len(layers), **how}  # adapted ones differ
    for name in ("before", "after"):
        function = torch.compile(getattr(Layer, name), **how)
        for layer in layers:
            setattr(layer, name, MethodType(function, layer))
