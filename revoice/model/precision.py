"""What matrices are multiplied in; weights, norms and losses are float32 throughout."""

import logging

import torch

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def has_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies faster in bfloat16, rather than emulating it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and torch.cpu._is_avx512_bf16_supported()


def computing(precision: str, device: torch.device | str) -> str:
    """fp32, bf16 or fp16: what is configured, as far as the device has it; `auto`: the fastest."""
    if precision == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    kind = torch.device(device).type
    if precision == "bf16" and kind == "cpu" and not has_bf16(device):
        log.warning("this CPU has no bf16 arithmetic: computing in fp32")
        return "fp32"
    if precision != "fp32" and kind == "mps":
        log.warning("on MPS this computes in fp32")
        return "fp32"
    return precision


def autocast(precision: str, device: torch.device | str) -> torch.autocast:
    """A context in which a model multiplies in that."""
    dtype = DTYPES[precision]
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)
