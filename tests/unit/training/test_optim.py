"""ScaledAdam, the schedules, and what a configuration makes of them."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from revoice.config_training import TrainConfig
from revoice.training.optim import (
    ScaledAdam,
    cosine,
    eden,
    make_optimizer,
    make_schedule,
    stable_steps,
    warm_up,
    wsd,
)

SHAPES = [(6, 4), (6, 4), (5,), (3, 2, 2), (1,), (), (6, 4)]


def parameters(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_grads(params: list[nn.Parameter], step: int, size: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator) * size


def run(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        set_grads(params, step)
        optimizer.step()


def scaled_adam(params: list[nn.Parameter], **settings: object) -> ScaledAdam:
    return ScaledAdam(params, **{"clipping_update_period": 5, **settings})


@pytest.mark.parametrize("stop", range(3, 12))
def test_continuation_is_bit_identical(stop: int) -> None:
    straight = parameters()
    run(scaled_adam(straight), straight, range(20))

    first = parameters()
    optimizer = scaled_adam(first)
    run(optimizer, first, range(stop))
    saved = copy.deepcopy(optimizer.state_dict())
    second = [nn.Parameter(p.detach().clone()) for p in first]
    run(optimizer, first, range(stop, 20))  # the saved state must not follow

    resumed = scaled_adam(second, lr=9.0)
    resumed.load_state_dict(saved)
    run(resumed, second, range(stop, 20))
    for a, b, c in zip(straight, first, second, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    assert json.dumps(resumed.state_dict()["param_groups"]) == json.dumps(
        optimizer.state_dict()["param_groups"]
    )


def test_state_is_tensors_and_json() -> None:
    params = parameters()
    optimizer = scaled_adam(params)
    run(optimizer, params, range(7))
    saved = optimizer.state_dict()
    assert json.loads(json.dumps(saved["param_groups"]))[0]["step"] == 7
    assert {type(value) for state in saved["state"].values() for value in state.values()} == {
        torch.Tensor
    }


def test_together_as_singly() -> None:
    together, singly = parameters(), parameters()
    optimizer = scaled_adam(together, clipping_scale=None)
    optimizers = [scaled_adam([p], clipping_scale=None) for p in singly]
    for step in range(20):
        set_grads(together, step)
        set_grads(singly, step)
        optimizer.step()
        for single in optimizers:
            single.step()
    for a, b in zip(together, singly, strict=True):
        assert torch.equal(a, b)


def test_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    params = parameters()
    run(scaled_adam(params), params, range(12))
    assert capfd.readouterr() == ("", "")


def step_with_huge_gradient(**settings: object) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(Steps of twelve ordinary gradients and a huge one, those with all of it ordinary)."""
    moves = []
    for size in (1000.0, 1.0):
        params = parameters()
        optimizer = scaled_adam(params, **settings)
        run(optimizer, params, range(12))
        before = [p.detach().clone() for p in params]
        set_grads(params, 12, size)
        optimizer.step()
        moves.append([p.detach() - b for p, b in zip(params, before, strict=True)])
    return moves[0], moves[1]


def test_clipping_reaches_the_update_and_one_argument_restores_the_reference() -> None:
    def excess(settings: dict[str, object]) -> float:
        huge, ordinary = step_with_huge_gradient(**settings)
        pairs = zip(huge, ordinary, strict=True)
        return sum(float(a.norm() / b.norm()) for a, b in pairs) / len(SHAPES)

    clipped = excess({})
    reference = excess({"clip_scales_only": True})
    unclipped = excess({"clipping_scale": None})
    assert clipped < 1.5
    assert reference > 1.2 * clipped
    # Adam itself bounds a step, so that without clipping of the update the two are close.
    assert abs(reference - unclipped) < 0.5 * (unclipped - clipped)


def test_clipped_gradient_is_the_scaled_one() -> None:
    """A clipped gradient g acts as the gradient factor · g does."""
    first, second = parameters(), parameters()
    one, two = scaled_adam(first), scaled_adam(second)
    run(one, first, range(12))
    run(two, second, range(12))
    set_grads(first, 12, 1000.0)
    squares = [
        (p.grad * (one.state[p]["rms"] if p.numel() > 1 else 1.0)).square().sum() for p in first
    ]
    norm = float(torch.stack(squares).sum().sqrt())
    threshold = one.param_groups[0]["threshold"]
    one.step()
    set_grads(second, 12, 1000.0 * threshold / norm)
    two.step()
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b)


def test_threshold_is_the_median_times_the_scale() -> None:
    params = [nn.Parameter(torch.ones(4))]
    optimizer = ScaledAdam(params, lr=1e-9, clipping_scale=3.0, clipping_update_period=4)
    for size in (9.0, 1.0, 4.0, 2.0, 3.0):  # the first step's norm does not count
        params[0].grad = torch.full((4,), size)
        optimizer.step()
    # r = 1, the norm of four equal elements is twice the element; sorted: 2, 4, 6, 8.
    assert optimizer.param_groups[0]["threshold"] == pytest.approx(3.0 * 6.0)


def test_no_gradient_counts_as_zero() -> None:
    first, second = parameters(), parameters()
    one, two = scaled_adam(first), scaled_adam(second)
    for step in range(9):
        set_grads(first, step)
        set_grads(second, step)
        if step > 4:
            first[0].grad, second[0].grad = None, torch.zeros_like(second[0])
        one.step()
        two.step()
    assert first[0].grad is None
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_step_is_proportional_to_the_tensor() -> None:
    small = nn.Parameter(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))
    large = nn.Parameter(2 * small.detach())
    before = small.detach().clone(), large.detach().clone()
    small.grad = torch.ones(8, 8)
    large.grad = torch.ones(8, 8)
    ScaledAdam([small, large]).step()
    torch.testing.assert_close(large.detach() - before[1], 2 * (small.detach() - before[0]))


def test_scalar_is_bounded() -> None:
    scalar = nn.Parameter(torch.tensor(12.0))
    scalar.grad = torch.tensor(0.0)
    ScaledAdam([scalar], scalar_max=10.0).step()
    assert scalar.item() == 10.0


def test_too_large_a_tensor_shrinks() -> None:
    large = nn.Parameter(torch.full((4, 4), 5.0))
    optimizer = ScaledAdam([large], param_max_rms=3.0)
    for _ in range(8):
        large.grad = torch.zeros(4, 4)
        optimizer.step()
    assert large.detach().abs().max() < 5.0


def test_it_learns() -> None:
    torch.manual_seed(3)
    model = nn.Linear(5, 3)
    inputs = torch.randn(64, 5)
    targets = inputs @ torch.randn(5, 3) + 1.0
    optimizer = ScaledAdam(model.parameters(), lr=0.05)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(300)]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.05 * losses[0]


def test_warm_up_and_cosine() -> None:
    assert [warm_up(step, 4) for step in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0
    factors = [cosine(step, 100, 10, floor=0.0) for step in range(120)]
    assert factors[:10] == [warm_up(step, 10) for step in range(10)]
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[100:] == [0.0] * 20
    assert factors[10:101] == sorted(factors[10:101], reverse=True)


def test_warm_up_stable_decay() -> None:
    factors = [wsd(step, 100, 10, 20) for step in range(120)]
    assert factors[:10] == [warm_up(step, 10) for step in range(10)]
    assert factors[10:81] == [1.0] * 71
    assert factors[85] == pytest.approx(0.5)  # a quarter of the way: 1 - √(1/4)
    assert factors[80:101] == sorted(factors[80:101], reverse=True)
    assert 0 < factors[99] < 0.03
    assert factors[100:] == [0.0] * 20
    # a longer one is the same as long as both are stable
    assert [wsd(step, 200, 10, 40) for step in range(81)] == factors[:81]
    assert stable_steps(configured(schedule="wsd"), 100) == 80
    assert stable_steps(configured(schedule="wsd", decay_share=1), 100) == 0
    assert stable_steps(configured(schedule="cosine"), 100) == 0


def test_eden() -> None:
    assert eden(0, 0, warmup=20) == 0.5
    assert eden(10, 0, warmup=20) == pytest.approx(0.75, rel=1e-4)
    assert eden(0, 0, warmup=0) == 1.0
    assert eden(5000, 0, warmup=20) == pytest.approx(2**-0.25)
    assert eden(5000, 4, warmup=20) == pytest.approx(2**-0.5)


def configured(**values: object) -> TrainConfig:
    return TrainConfig.model_validate({"steps": 100, **values})


def test_adamw_decays_matrices_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    model[0].bias.requires_grad_(False)
    optimizer = make_optimizer(model.named_parameters(), configured(lr=0.1, weight_decay=0.3))
    assert isinstance(optimizer, torch.optim.AdamW)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decay == {id(model[0].weight): 0.3, id(model[1].weight): 0.0, id(model[1].bias): 0.0}
    assert {g["lr"] for g in optimizer.param_groups} == {0.1}


def test_nothing_trainable() -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter is trainable"):
        make_optimizer(model.named_parameters(), configured())


@pytest.mark.parametrize("optimizer", ["adamw", "scaled_adam"])
@pytest.mark.parametrize("schedule", ["cosine", "wsd", "eden", "constant"])
def test_schedule_round_trip(optimizer: str, schedule: str) -> None:
    config = configured(optimizer=optimizer, schedule=schedule, lr=0.04, warmup_epochs=0.5)

    def build() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        model = make_optimizer([("w", nn.Parameter(torch.ones(3, 3)))], config)
        return model, make_schedule(model, config, total_steps=100, steps_per_epoch=40)

    def rates(
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        steps: int,
    ) -> list[float]:
        result = []
        for _ in range(steps):
            optimizer.param_groups[0]["params"][0].grad = torch.ones(3, 3)
            optimizer.step()
            schedule.step()
            result.append(optimizer.param_groups[0]["lr"])
        return result

    whole = rates(*build(), steps=90)
    first_optimizer, first_schedule = build()
    begun = rates(first_optimizer, first_schedule, 37)
    saved = json.loads(json.dumps(first_schedule.state_dict()))
    state = copy.deepcopy(first_optimizer.state_dict())
    second_optimizer, second_schedule = build()
    second_optimizer.load_state_dict(state)
    second_schedule.load_state_dict(saved)
    assert begun + rates(second_optimizer, second_schedule, 53) == whole

    expected = {
        "cosine": [cosine(step, 100, 20) for step in range(1, 91)],
        "wsd": [wsd(step, 100, 20, 20) for step in range(1, 91)],
        "constant": [warm_up(step, 20) for step in range(1, 91)],
        "eden": [eden(step, step // 40, 20) for step in range(1, 91)],
    }[schedule]
    assert all(
        math.isclose(rate, 0.04 * factor) for rate, factor in zip(whole, expected, strict=True)
    )
