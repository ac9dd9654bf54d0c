"""Optimizers, learning-rate schedules and averages: AdamW, ScaledAdam; cosine, WSD, Eden."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from revoice.config_training import TrainConfig

Tensors: TypeAlias = list[Tensor]
Group: TypeAlias = dict[str, Any]  # one of an optimizer's `param_groups`


def make_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: TrainConfig
) -> torch.optim.Optimizer:
    """The configured optimizer over those of the parameters that take a gradient.

    AdamW decays matrices and leaves vectors and scalars (norms, biases, alphas) alone. Raises
    ValueError where no parameter takes a gradient.
    """
    parameters = [parameter for _, parameter in named_parameters if parameter.requires_grad]
    if not parameters:
        raise ValueError("no parameter is trainable: look at `trainable` and `lora`")
    if config.optimizer == "scaled_adam":
        return ScaledAdam(parameters, lr=config.lr)
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, total_steps: int, steps_per_epoch: float
) -> LambdaLR:
    """The configured schedule; call its `step()` after every optimizer step.

    Cosine and WSD end at `total_steps`; a warm-up in epochs, and Eden, look at `steps_per_epoch`.
    """
    stable = stable_steps(config, total_steps)
    warmup = config.warmup_steps or round((config.warmup_epochs or 0) * steps_per_epoch)
    factors: dict[str, Callable[[int], float]] = {
        "cosine": lambda step: cosine(step, total_steps, warmup),
        "wsd": lambda step: wsd(step, total_steps, warmup, total_steps - stable),
        "constant": lambda step: warm_up(step, warmup),
        "eden": lambda step: eden(step, int(step // steps_per_epoch), warmup),
    }
    return LambdaLR(optimizer, factors[config.schedule])


def warm_up(step: int, warmup: int) -> float:
    """Factor that rises linearly to 1 during `warmup` steps, and is never 0."""
    return min(1.0, (step + 1) / (warmup + 1))


def cosine(step: int, total: int, warmup: int, floor: float = 0.01) -> float:
    """Factor that, after a linear warm-up, falls along half a cosine to `floor` at `total`."""
    if step < warmup:
        return warm_up(step, warmup)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def stable_steps(config: TrainConfig, total: int) -> int:
    """Of `total` steps, how many WSD takes before its rate decays; other schedules none."""
    return total - round(config.decay_share * total) if config.schedule == "wsd" else 0


def wsd(step: int, total: int, warmup: int, decay: int) -> float:
    """Factor that, after a linear warm-up, stays 1 but for the last `decay` steps of `total`.

    Warm-up, stable, decay (arXiv 2404.06395); in these it is 1 - √x, which falls to 0 (2405.18392).
    """
    progress = max(0.0, (step - (total - decay)) / max(1, decay))
    return warm_up(step, warmup) * (1 - math.sqrt(min(1.0, progress)))


def eden(
    batch: int, epoch: int, warmup: int, lr_batches: float = 5000, lr_epochs: float = 4
) -> float:
    """Factor that falls with the number of steps and of epochs taken (Zipformer's Eden).

    ((b² + B²) / B²)^(-1/4) · ((e² + E²) / E²)^(-1/4) · w, with w rising linearly from 1/2 to 1
    during `warmup` steps (arXiv 2310.11230, appendix).
    """
    by_batch = (1 + (batch / lr_batches) ** 2) ** -0.25
    by_epoch = (1 + (epoch / lr_epochs) ** 2) ** -0.25
    return by_batch * by_epoch * (0.5 + 0.5 * batch / warmup if batch < warmup else 1.0)


class ScaledAdam(torch.optim.Optimizer):
    """Adam whose step is proportional to the size of the tensor, and that learns that size too.

    arXiv 2310.11230, section 3.5. r is the root mean square of a tensor, measured every
    `size_update_period` steps. A tensor moves as in Adam, times r; besides, from the sums of
    parameter times gradient, its scale moves as a parameter of its own. Tensors of one element
    follow Adam with the rate lr · `scalar_lr_scale`. A parameter without gradient counts as one
    whose gradient is zero. Gradients whose norm, each tensor's weighted with its r, exceeds
    `clipping_scale` times the median of the norms of late are scaled down, or with
    `clip_scales_only`, as in the first implementation, what the scales see of them alone.
    Parameters are expected in float32.

    All that a group has seen beside its tensors' own state (`step`, `norms`, `threshold`) is kept
    as numbers in `param_groups`, so that `state_dict` holds everything.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.03,  # 0.03 to 0.05 for a model that starts from nothing
        betas: tuple[float, float] = (0.9, 0.95),  # decay of momentum and of the mean of squares
        *,
        scalar_lr_scale: float = 0.1,  # rate of scales and of single elements, as a share of lr
        eps: float = 1e-8,  # added to the root of the mean of squares
        param_min_rms: float = 1e-5,  # smallest r for the step; below it no scale is learnt
        param_max_rms: float = 3.0,  # r above which a tensor is made smaller
        scalar_max: float = 10.0,  # bound of single elements
        size_update_period: int = 4,  # steps between two measurements of r, updates of the scale
        clipping_scale: float | None = 2.0,  # None: no clipping
        clipping_update_period: int = 100,  # norms in the median, and steps between two medians
        clip_scales_only: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "scalar_max": scalar_max}
        defaults |= {"scalar_lr_scale": scalar_lr_scale, "size_update_period": size_update_period}
        defaults |= {"param_min_rms": param_min_rms, "param_max_rms": param_max_rms}
        defaults |= {"clipping_scale": clipping_scale, "clip_scales_only": clip_scales_only}
        defaults |= {"clipping_update_period": clipping_update_period}
        super().__init__(params, {**defaults, "step": 0, "norms": [], "threshold": None})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            tensors = [p for p in group["params"] if p.numel() > 1]
            scalars = [p for p in group["params"] if p.numel() == 1]
            self._prepare(group)
            grads, scalar_grads = _grads(tensors), _grads(scalars)
            clip = self._clipping_factor(tensors, grads, scalar_grads, group)
            if clip < 1.0 and not group["clip_scales_only"]:
                grads, scalar_grads = ([g * clip for g in some] for some in (grads, scalar_grads))
                clip = 1.0
            if tensors:
                self._step_tensors(tensors, grads, group, clip)
            if scalars:
                self._step_scalars(scalars, scalar_grads, group)
            group["step"] += 1
        return loss

    def _prepare(self, group: Group) -> None:
        for p in group["params"]:
            if self.state[p]:
                continue
            self.state[p] = {"momentum": torch.zeros_like(p), "square": torch.zeros_like(p)}
            if p.numel() > 1:
                self.state[p] |= {
                    "rms": p.square().mean().sqrt(),
                    "products": p.new_zeros(group["size_update_period"]),
                    "scale_square": p.new_zeros(()),
                }

    def _gather(self, parameters: Tensors, name: str) -> Tensors:
        return [self.state[p][name] for p in parameters]

    def _clipping_factor(
        self, tensors: Tensors, grads: Tensors, scalar_grads: Tensors, group: Group
    ) -> float:
        """What the gradients are multiplied by; remembers their norm."""
        if group["clipping_scale"] is None or group["step"] == 0:
            return 1.0
        norms = [grad.norm() for grad in scalar_grads]
        if tensors:
            norms += torch._foreach_mul(torch._foreach_norm(grads), self._gather(tensors, "rms"))
        norm = torch.stack(norms).norm().item()
        period = group["clipping_update_period"]
        group["norms"] = [*group["norms"], norm][-period:]
        if group["step"] % period == 0:
            group["threshold"] = group["clipping_scale"] * sorted(group["norms"])[period // 4 * 2]
        if group["threshold"] is None:
            return 1.0
        return min(1.0, group["threshold"] / (norm + 1e-20))

    def _step_tensors(self, tensors: Tensors, grads: Tensors, group: Group, clip: float) -> None:
        beta1, beta2 = group["betas"]
        lr, step, period = group["lr"], group["step"], group["size_update_period"]
        momenta, rms = self._gather(tensors, "momentum"), self._gather(tensors, "rms")

        torch._foreach_mul_(momenta, beta1)
        for p, grad in zip(tensors, grads, strict=True):
            self.state[p]["products"][step % period] = (p * grad).sum() * clip
        if step % period == period - 1:
            for p, r in zip(tensors, rms, strict=True):
                r.copy_(p.square().mean().sqrt())
            if step > 0:
                changes = torch._foreach_mul(tensors, self._scale_steps(tensors, group))
                torch._foreach_add_(momenta, changes, alpha=1 - beta1)

        bias = 1 - beta2 ** (step + 1)
        updates = self._adam_direction(tensors, grads, group, bias if bias < 0.99 else 1.0)
        sizes = torch._foreach_clamp_min(rms, group["param_min_rms"])
        torch._foreach_mul_(updates, sizes)
        torch._foreach_add_(momenta, updates, alpha=-lr * (1 - beta1))
        torch._foreach_add_(tensors, momenta)

    def _scale_steps(self, tensors: Tensors, group: Group) -> Tensors:
        """By what share of itself each tensor is to grow: Adam on the logarithm of its scale."""
        period = group["size_update_period"]
        decay = group["betas"][1] ** period
        products = torch.stack(self._gather(tensors, "products"))  # (tensors, period)
        squares = self._gather(tensors, "scale_square")
        torch._foreach_mul_(squares, decay)
        torch._foreach_add_(squares, list(products.square().mean(1)), alpha=1 - decay)

        lr = group["lr"] * group["scalar_lr_scale"]
        updates = (group["step"] + 1) // period
        denominator = torch.stack(squares).sqrt() + group["eps"]
        steps = -lr * math.sqrt(1 - decay**updates) * products.sum(1) / denominator
        rms = torch.stack(self._gather(tensors, "rms"))
        steps = steps.masked_fill(rms < group["param_min_rms"], 0.0)
        return list(steps.masked_fill(rms > group["param_max_rms"], -lr * period))

    def _step_scalars(self, scalars: Tensors, grads: Tensors, group: Group) -> None:
        beta1, beta2 = group["betas"]
        momenta = self._gather(scalars, "momentum")
        bias = 1 - beta2 ** (group["step"] + 1)
        updates = self._adam_direction(scalars, grads, group, bias)
        lr = group["lr"] * group["scalar_lr_scale"]
        torch._foreach_mul_(momenta, beta1)
        torch._foreach_add_(momenta, updates, alpha=-lr * (1 - beta1))
        for p in scalars:
            p.clamp_(-group["scalar_max"], group["scalar_max"])
        torch._foreach_add_(scalars, momenta)

    def _adam_direction(self, ps: Tensors, grads: Tensors, group: Group, bias: float) -> Tensors:
        """g / (sqrt(v / bias) + eps), v being the running mean of squares that g goes into."""
        beta2, squares = group["betas"][1], self._gather(ps, "square")
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
        denominators = torch._foreach_div(squares, bias)
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, group["eps"])
        return list(torch._foreach_div(grads, denominators))


def _grads(parameters: Tensors) -> Tensors:
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


class Averages:
    """A running average of the trained weights, if of a `kind`, and the best weights so far."""

    def __init__(self, trained: dict[str, nn.Parameter], kind: str | None) -> None:
        self.trained, self.kind = trained, kind
        self.average = {name: p.detach().clone() for name, p in trained.items()} if kind else {}
        self.best: dict[str, Tensor] = {}

    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        if self.average:
            weights = [p.detach() for p in self.trained.values()]
            averages = list(self.average.values())
            torch._foreach_lerp_(averages, weights, average_rate(self.kind, step))

    def keep_best(self) -> None:
        """Call the present weights the best."""
        present = self.average or self.trained
        self.best = {name: t.detach().cpu().clone() for name, t in present.items()}

    @contextmanager
    def swapped_weights(self) -> Iterator[None]:
        """Within the block the parameters have the average's values, where there is one."""
        own = {name: self.trained[name].detach().clone() for name in self.average}
        assign(self.trained, self.average)
        yield
        assign(self.trained, own)


def average_rate(kind: str | None, step: int) -> float:
    """How far the averaged weights move to the current ones after a step.

    "ema" follows with a decay that grows to 0.999; "periodic" takes in every 100th step and is
    about the mean of the last ten that it took.
    """
    if kind == "ema":
        return 1 - min(0.999, (1 + step) / (10 + step))
    if step <= 100:
        return 1.0
    return 1 / min(step // 100, 10) if step % 100 == 0 else 0.0


@torch.no_grad()
def assign(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy values into the tensors of the same names."""
    for name, value in values.items():
        parameters[name].copy_(value)
