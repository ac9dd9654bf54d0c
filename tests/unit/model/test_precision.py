"""What matrices are multiplied in."""

import pytest
import torch

from revoice.model.precision import DTYPES, autocast, computing


@pytest.mark.parametrize("able", [True, False])
def test_bf16_is_left_to_processors_that_have_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, able: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    assert computing("auto", "cpu") == ("bf16" if able else "fp32")
    assert not caplog.text
    assert computing("bf16", "cpu") == ("bf16" if able else "fp32")
    assert ("no bf16 arithmetic" in caplog.text) != able
    assert computing("bf16", "cuda") == "bf16"
    assert computing("fp32", "cpu") == "fp32"
    assert computing("auto", "mps") == "fp32"
    for precision in DTYPES:
        assert computing(precision, "mps") == "fp32"


@pytest.mark.parametrize("precision", DTYPES)
def test_matrices_are_multiplied_in_it(precision: str) -> None:
    x = torch.ones(4, 4)
    with autocast(precision, "cpu"):
        assert (x @ x).dtype == DTYPES[precision]
        assert torch.nn.functional.layer_norm(x, [4]).dtype == torch.float32
