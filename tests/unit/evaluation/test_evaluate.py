"""What an evaluation says of itself."""

from pathlib import Path

from revoice.evaluation.evaluate import provenance


def test_provenance_names_the_four_things(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    codec = {"name": "world", "describe": "world (codes)", "reason": "no weights"}
    model = {"tokenizer": {"name": "espeak", "sha256": "0123456789abcdef"}}
    made_by = provenance("two hours", codec, model, weights)
    assert list(made_by) == ["data", "codec", "tokenizer", "checkpoint"]
    assert made_by["codec"] == "world (codes); no weights"
    assert made_by["tokenizer"] == "espeak (sha256 01234567)"
    assert made_by["checkpoint"].startswith(f"{weights} (sha256 ")
