"""Which parameters are trained: globs on their names, and low-rank adapters."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from revoice.config import LoraConfig


class LowRank(nn.Module):
    """W + alpha / rank · B A in place of a weight W (arXiv 2106.09685, equation 3).

    W is (out, in), A (rank, in) starts random, B (out, rank) at zero.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.randn(rank, columns) * columns**-0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


def freeze(model: nn.Module, trainable: str | Sequence[str], where: str = "trainable") -> None:
    """Leave a gradient to the parameters that one of the globs matches; "all" changes nothing.

    What the model itself never trains stays so. Raises ValueError for a glob that matches nothing.
    """
    if trainable == "all":
        return
    matched = {n for i, glob in enumerate(trainable) for n in match(model, glob, f"{where}[{i}]")}
    chosen = {
        id(p) for name, p in model.named_parameters(remove_duplicate=False) if name in matched
    }
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in chosen)


def add_lora(model: nn.Module, lora: LoraConfig, where: str = "lora.targets") -> None:
    """Put an adapter on every matrix that `lora.targets` match and take its own gradient away.

    Raises ValueError for a glob that matches nothing, a vector, and a matrix under two names.
    """
    names = dict.fromkeys(
        name for i, glob in enumerate(lora.targets) for name in match(model, glob, f"{where}[{i}]")
    )
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in names:
        weight = parameters[name]
        if weight.dim() != 2:
            raise ValueError(f"{where}: {name} is no matrix; adapters go on matrices alone")
        if sum(other is weight for other in parameters.values()) > 1:
            raise ValueError(f"{where}: {name} is tied to another tensor and takes no adapter")
        module, _, attribute = name.rpartition(".")
        weight.requires_grad_(False)
        adapter = LowRank(weight, lora.rank, lora.alpha).to(weight)
        parametrize.register_parametrization(model.get_submodule(module), attribute, adapter)


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Make the adapted matrices plain ones; the model gives the same outputs."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for attribute in list(module.parametrizations):  # type: ignore[union-attr, arg-type]
                parametrize.remove_parametrizations(module, attribute, leave_parametrized=True)


def match(model: nn.Module, glob: str, where: str) -> list[str]:
    """Names of the parameters that a glob matches.

    Raises ValueError with near matches when there are none.
    """
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if found := [name for name in names if fnmatchcase(name, glob)]:
        return found
    # Every name, and every module with all that is in it.
    folders = {
        name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)
    }
    candidates = dict.fromkeys(names, 1) | {
        f"{folder}.*": sum(name.startswith(f"{folder}.") for name in names) for folder in folders
    }
    near = difflib.get_close_matches(glob, candidates, 3, 0.5)
    counts = [f'"{c}" ({candidates[c]} tensor{"s" * (candidates[c] > 1)})' for c in near]
    hint = f"\nDid you mean {' or '.join(counts)}?" if near else ""
    parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
    raise ValueError(f'{where} = "{glob}" matches no parameter.{hint} The model has: {parts}')
