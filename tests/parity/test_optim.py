"""ScaledAdam and Eden against the numbers that the original implementation computed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from revoice.training.optim import ScaledAdam, eden


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "parity" / "optim" / "expected.json").read_text())


@pytest.fixture(scope="module")
def trajectory(shared: Path) -> dict[str, torch.Tensor]:
    return load_file(shared / "parity" / "optim" / "trajectory.safetensors")


def test_scaled_adam(expected: dict[str, Any], trajectory: dict[str, torch.Tensor]) -> None:
    names = expected["parameters"]
    parameters = {n: torch.nn.Parameter(trajectory[f"init.{n}"].clone()) for n in names}
    optimizer = ScaledAdam(
        parameters.values(),
        lr=expected["lr"],
        betas=tuple(expected["betas"]),
        clipping_scale=expected["clipping_scale"],
        clipping_update_period=expected["clipping_update_period"],
        clip_scales_only=True,
        **expected["defaults_used"],
    )
    steps = len(expected["learning_rate_after_step"])
    # The original takes its first step before the schedule has set a rate.
    rates = [expected["lr"], *expected["learning_rate_after_step"]]
    worst = {}
    for step in range(steps):
        for name, parameter in parameters.items():
            parameter.grad = trajectory[f"grad.{step}.{name}"].clone()
        optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.step()
        if step in expected["parameter_check_steps"]:
            for name, parameter in parameters.items():
                difference = (parameter.detach() - trajectory[f"param.{step}.{name}"]).abs().max()
                worst[step, name] = difference.item()
    assert {step for step, _ in worst} == set(expected["parameter_check_steps"])
    assert {key: value for key, value in worst.items() if not value <= 1e-5} == {}


def test_eden(expected: dict[str, Any]) -> None:
    settings = expected["eden"]
    # "called after steps 40, 80 and 120 with 1, 2, 3"
    listed, numbers = settings["step_epoch"].split(" with ")
    ends = [int(word) for word in listed.replace(",", " ").split() if word.isdigit()]
    assert len(ends) == len(numbers.split(","))
    for step, rate in enumerate(expected["learning_rate_after_step"], start=1):
        factor = eden(
            step,
            sum(step >= end for end in ends),
            settings["warmup_batches"],
            settings["lr_batches"],
            settings["lr_epochs"],
        )
        assert expected["lr"] * factor == pytest.approx(rate, abs=1e-9, rel=0)
