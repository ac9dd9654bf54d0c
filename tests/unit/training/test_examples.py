"""Cuts with their codes: what fits, what is left out, what is another codec's."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import h5py
import pytest
from lhotse import CutSet

from revoice.config import LimitsConfig
from revoice.text.espeak import EspeakTokenizer
from revoice.training import examples
from tests.helpers.synthetic import write_cuts

CODEC: dict[str, Any] = {
    "name": "world",
    "sha256": "1" * 64,
    "frame_rate": 37.5,
    "num_quantizers": 8,
    "bins": 1024,
}
TOKENIZER = EspeakTokenizer(["<pad>", "<bos>", "<eos>", "a"])


def shard(folder: Path, codec: dict[str, Any] | None, tokenizer: str | None = None) -> CutSet:
    """Tokenized cuts of a shard, beside its encoded ones."""
    cuts = CutSet.from_file(write_cuts(folder, 5)).to_eager()
    if codec:
        with h5py.File(folder / "codes.h5", "a") as file:
            file.attrs["codec"] = json.dumps(codec, sort_keys=True)
    for cut in cuts:
        cut.custom = {"shard": "corpus/s0"}
        if tokenizer:
            cut.supervisions[0].custom["tokenizer"] = tokenizer
    return cuts


def attached(folder: Path, cuts: CutSet, codec: dict[str, Any] = CODEC) -> list[Any]:
    encoded = {"corpus/s0": folder / "cuts.jsonl.gz"}
    return list(examples.attach_codes(cuts, encoded, codec, TOKENIZER))


def test_codes_are_those_of_the_recording(tmp_path: Path) -> None:
    cuts = shard(tmp_path, CODEC, f"espeak:{TOKENIZER.digest()}")
    joined = attached(tmp_path, cuts, {**CODEC, "reason": "a codec.json says more"})
    assert [cut.id for cut in joined] == [cut.id for cut in cuts]
    assert all(cut.codes.array.storage_key == cut.recording_id for cut in joined)


def test_codes_of_another_codec_are_refused(tmp_path: Path) -> None:
    cuts = shard(tmp_path, {**CODEC, "sha256": "3" * 64})
    with pytest.raises(ValueError, match=r"codes\.h5 holds codes of the codec .*333"):
        attached(tmp_path, cuts)


def test_codes_of_an_earlier_version_are_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(attached(tmp_path, shard(tmp_path, None))) == 5
    assert "codes.h5 does not say which codec its codes are of" in caplog.text


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tokenized with espeak:444"):
        attached(tmp_path, shard(tmp_path, CODEC, f"espeak:{'4' * 64}"))


@pytest.fixture
def cuts(tmp_path: Path) -> CutSet:
    return CutSet.from_jsonl_lazy(write_cuts(tmp_path, 3))


def test_exclusion_gives_a_reason(cuts: CutSet) -> None:
    cut = next(iter(cuts))
    frames, symbols = cut.codes.shape[0], len(cut.supervisions[0].tokens)
    cases = {
        "shorter than 9 s": {"min_seconds": 9},
        "longer than 0.1 s": {"max_seconds": 0.1, "min_seconds": 0},
        "fewer than 6 frames per text symbol": {"min_frames_per_symbol": 6},
        "more than 4 frames per text symbol": {"max_frames_per_symbol": 4},
    }
    assert examples.exclusion_reason(cut, LimitsConfig(min_seconds=0)) is None
    for reason, values in cases.items():
        limits = LimitsConfig(**({"min_seconds": 0} | values))
        assert examples.exclusion_reason(cut, limits) == reason
    row = examples.excluded_row(cut, "why")
    assert (row["id"], row["frames"], row["symbols"]) == (cut.id, frames, symbols)
    assert row["reason"] == "why"
    cut.supervisions[0].custom["tokens"] = []
    assert examples.exclusion_reason(cut, LimitsConfig(min_seconds=0)) == "no text symbols"


def test_the_digest_of_a_manifest_is_of_contents(tmp_path: Path) -> None:
    path = Path(write_cuts(tmp_path / "one", 3))
    digest = examples.digest_cuts(path)
    os.utime(path, (1, 1))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content, compresslevel=1))
    assert examples.digest_cuts(path) == digest
    path.write_bytes(gzip.compress(content.replace(b"cut-00001", b"cut-00009")))
    assert examples.digest_cuts(path) != digest
