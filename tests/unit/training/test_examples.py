"""Cuts with their codes: what fits, what is left out, what is another codec's."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import h5py
import pytest
from lhotse import CutSet

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


def test_the_digest_of_a_manifest_is_of_contents(tmp_path: Path) -> None:
    path = Path(write_cuts(tmp_path / "one", 3))
    digest = examples.digest_cuts(path)
    os.utime(path, (1, 1))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content, compresslevel=1))
    assert examples.digest_cuts(path) == digest
    path.write_bytes(gzip.compress(content.replace(b"cut-00001", b"cut-00009")))
    assert examples.digest_cuts(path) != digest
