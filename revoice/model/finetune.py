"""What fine-tuning changes: which parameters are trained, low-rank adapters, new rows."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from revoice.config_training import LoraConfig
from revoice.model import PARTS, Part
from revoice.model.checkpoint import build, load_part
from revoice.model.valle import AR, NAR

M = TypeVar("M", bound=AR | NAR)


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
    parameters = dict(model.named_parameters(remove_duplicate=False))
    chosen = {id(parameters[name]) for name in _matched(model, trainable, where)}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in chosen)


def add_lora(model: nn.Module, lora: LoraConfig, where: str = "lora.targets") -> None:
    """Put an adapter on every matrix that `lora.targets` match and take its own gradient away.

    Raises ValueError for a glob that matches nothing, a vector, and a matrix under two names.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in _matched(model, lora.targets, where):
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


def _matched(model: nn.Module, globs: str | Sequence[str], where: str) -> list[str]:
    found = [match(model, glob, f"{where}[{i}]") for i, glob in enumerate(globs)]
    return list(dict.fromkeys(itertools.chain(*found)))


def match(model: nn.Module, glob: str, where: str) -> list[str]:
    """Names of the parameters that a glob matches; ValueError with near ones if there are none."""
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if found := [name for name in names if fnmatchcase(name, glob)]:
        return found
    # Every name, and every module with all that is in it.
    folders = {
        name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)
    }
    candidates = dict.fromkeys(names, 1)
    candidates |= {f"{f}.*": sum(name.startswith(f"{f}.") for name in names) for f in folders}
    near = difflib.get_close_matches(glob, candidates, 3, 0.5)
    counts = [f'"{c}" ({candidates[c]} tensor{"s" * (candidates[c] > 1)})' for c in near]
    hint = f"\nDid you mean {' or '.join(counts)}?" if near else ""
    parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
    raise ValueError(f'{where} = "{glob}" matches no parameter.{hint} The model has: {parts}')


def load_initial(
    part: Part, init: str, languages: Mapping[str, str], text_symbols: int, seed: int
) -> tuple[AR | NAR, dict[str, Any]]:
    """A part as its training starts from it, and what the JSON of `init`, a model's stem, says.

    It grows as in `grow`, which raises ValueError, where languages are new or symbols are missing.
    """
    model, meta = load_part(part, init)
    symbols = max(text_symbols, model.config.text_symbols)
    if languages or symbols > model.config.text_symbols:
        model = grow(model, languages, symbols, seed)
    return model, meta


def grow(
    model: M, languages: Mapping[str, str] | None = None, text_symbols: int = 0, seed: int = 0
) -> M:
    """A copy of `model` with rows for new languages and text symbols; old rows are untouched.

    Args:
        languages: new language to the existing one whose row it starts from, or "mean" for the
            mean of all. They are appended in this order.
        text_symbols: how many there shall be; 0 leaves them. New rows are drawn by `seed` with
            mean and standard deviation of the old ones, per dimension.

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
    for name in ("ar_durations.symbols.weight", "nar_aligner.says", "nar_aligner.omitted"):
        if (known := state.get(name)) is not None:
            mean = known.mean(0, keepdim=True)
            state[name] = torch.cat((known, mean.repeat(len(new), *[1] * (known.dim() - 1))))
    if languages:
        name = f"{part}_language_embedding.word_embeddings.weight"
        rows = state[name]
        starts = [
            rows.mean(0) if start == "mean" else rows[config.languages.index(start)]
            for start in languages.values()
        ]
        state[name] = torch.cat((rows, torch.stack(starts)))
    grown = replace(config, text_symbols=text_symbols, languages=(*config.languages, *languages))
    return cast(M, build(part, grown, state, "the grown model").train(model.training))
