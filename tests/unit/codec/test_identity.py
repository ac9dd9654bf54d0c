"""A model and the codec that it was trained with: what is refused, and what is let pass."""

from typing import Any

import pytest

from revoice.codec import check_codec
from revoice.codec.identity import identity
from revoice.model.pretrained import CODEC

ENCODEC = {
    "name": "encodec_24khz",
    "sha256": "d7" * 32,
    "frame_rate": 75,
    "num_quantizers": 8,
    "bins": 1024,
}
WORLD: dict[str, Any] = {
    **ENCODEC,
    "name": "world",
    "sha256": "3a" * 32,
    "frame_rate": 37.5,
    "reason": "codec.fallback, because the weights of encodec_24khz cannot be had: no route",
}


def test_the_same_codec_passes(caplog: pytest.LogCaptureFixture) -> None:
    check_codec(WORLD, {"codec": identity(WORLD)}, "model.safetensors")
    check_codec(identity(WORLD), {"codec": identity(WORLD)}, "model.safetensors")
    assert not caplog.records


def test_another_codec_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"^models/a\.pt: the model was trained") as error:
        check_codec(WORLD, {"codec": identity(ENCODEC)}, "models/a.pt")
    message = str(error.value)
    both = "num_quantizers 8, bins 1024"
    assert f"encodec_24khz (sha256 d7d7d7d7d7d7, frame_rate 75, {both})" in message
    assert f"world (sha256 3a3a3a3a3a3a, frame_rate 37.5, {both}; " in message
    assert WORLD["reason"] in message
    assert "Set `codec:` of this experiment to one of kind encodec_24khz" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "00" * 32), ("frame_rate", 50), ("num_quantizers", 4), ("bins", 512)],
)
def test_each_field_counts(field: str, value: Any) -> None:
    other = identity(WORLD) | {field: value}
    with pytest.raises(ValueError, match=r"Use the codec\.json and codec\.safetensors that"):
        check_codec(WORLD, {"codec": other}, "mine")


def test_a_codec_that_was_moved_passes() -> None:
    moved = {**WORLD, "sha256": "5b" * 32, "like": WORLD["sha256"]}
    check_codec(moved, {"codec": identity(WORLD)}, "base")
    with pytest.raises(ValueError, match="was trained with the codec world"):
        check_codec(moved, {"codec": identity(WORLD) | {"sha256": "00" * 32}}, "another")
    with pytest.raises(ValueError, match="was trained with the codec encodec"):
        check_codec(WORLD, {"codec": CODEC | {"frame_rate": 75}}, "no like on either side")


def test_an_original_names_no_weights() -> None:
    check_codec(ENCODEC, {"codec": CODEC}, "vallex")
    check_codec({**ENCODEC, "sha256": "00" * 32}, {"codec": CODEC}, "vallex")
    with pytest.raises(ValueError, match=r"encodec_24khz \(frame_rate 75, .*, but it is to be"):
        check_codec(WORLD, {"codec": CODEC}, "vallex")


@pytest.mark.parametrize("meta", [{}, {"codec": None}])
def test_a_model_of_an_earlier_version(meta: Any, caplog: pytest.LogCaptureFixture) -> None:
    check_codec(WORLD, meta, "models/old.safetensors")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "models/old.safetensors, of an earlier version, does not" in record.getMessage()
    assert "taken for world (sha256 3a3a3a3a3a3a" in record.getMessage()
