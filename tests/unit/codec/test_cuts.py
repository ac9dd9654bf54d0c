"""Cuts to codes: what is stored, in which order, and what a bad file does."""

import hashlib
from pathlib import Path
from typing import Any

import h5py
import librosa
import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording, RecordingSet
from threadpoolctl import threadpool_limits

from revoice.codec.cuts import encode_cuts, load_mono, sample_recordings
from revoice.codec.encodec import EncodecCodec, EncodecModel
from revoice.codec.files import describe_codec, load_codec
from revoice.codec.identity import codec_of_codes
from revoice.codec.world import WorldCodec
from revoice.files import sha256


def tone(seconds: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 24000)) / 24000
    sweep = np.sin(2 * np.pi * np.cumsum(random.uniform(100, 200) * (1 + time)) / 24000)
    return np.sign(sweep) * 0.1 * np.sin(7 * time) + random.normal(size=len(time)) * 1e-3


def cuts_of(folder: Path, lengths: list[float], rate: int = 24000) -> CutSet:
    recordings = []
    for i, seconds in enumerate(lengths):
        path = folder / f"{i}.wav"
        soundfile.write(path, tone(seconds, i), rate, subtype="PCM_16")
        recordings.append(Recording.from_file(path, recording_id=f"voice/{i}"))
    return CutSet.from_manifests(recordings=RecordingSet.from_recordings(recordings))


@pytest.fixture(scope="module")
def world() -> WorldCodec:
    return WorldCodec.fit([tone(5, 1), tone(5, 2)], seed=1)


@pytest.fixture(scope="module")
def encodec() -> EncodecCodec:
    torch.manual_seed(1)
    state = EncodecModel.encodec_model_24khz(pretrained=False).state_dict()
    for name, value in state.items():  # codebooks are zeros before training: all codes were 0
        if name.endswith("codebook.embed"):
            torch.nn.init.normal_(value, std=0.05)
    return EncodecCodec(state)


@pytest.fixture(params=["world", "encodec"])
def codec(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_codes_come_back(codec: Any, tmp_path: Path) -> None:
    cuts = cuts_of(tmp_path, [2.0, 0.1, 1.0, 3.013, 0.507])
    encoded = encode_cuts(cuts, codec, tmp_path / "codes.h5")
    assert [cut.id for cut in encoded] == [cut.id for cut in cuts]
    encoded.to_file(tmp_path / "cuts.jsonl.gz")
    for cut, original in zip(CutSet.from_file(tmp_path / "cuts.jsonl.gz"), cuts, strict=True):
        assert cut.codes.array.storage_path == str(tmp_path / "codes.h5")
        assert cut.codes.frame_shift == codec.hop / 24000
        codes = cut.codes.load()
        assert cut.codes_digest == hashlib.sha256(codes.tobytes()).hexdigest()[:16]
        assert codes.dtype == np.int16
        assert codes.shape == (-(-cut.num_samples // codec.hop), 8)
        assert (codes == codec.encode(load_mono(original))).all()
        loaded = cut.load_codes()
        assert len(codes) - len(loaded) in (0, 1)
        assert (loaded == codes[: len(loaded)]).all()


def test_part_of_a_cut_has_its_codes(world: WorldCodec, tmp_path: Path) -> None:
    (cut,) = encode_cuts(cuts_of(tmp_path, [3.0]), world, tmp_path / "codes.h5")
    part = cut.truncate(offset=0.8, duration=0.8)
    assert (part.load_codes() == cut.load_codes()[30:60]).all()


def test_a_long_recording_is_encoded_in_parts(
    world: WorldCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = encode_cuts(cuts_of(tmp_path, [25]), world, tmp_path / "whole.h5")
    monkeypatch.setattr("revoice.codec.cuts.PART", 10 * 24000)
    (parts,) = encode_cuts(cuts_of(tmp_path, [25]), world, tmp_path / "parts.h5")
    equal = (whole.load_codes() == parts.load_codes()).all(axis=1)
    assert len(equal) == 25 * 37.5 + 0.5
    frames = np.arange(len(equal)) / 37.5
    near = np.minimum(np.abs(frames - 10), np.abs(frames - 20)) < 1
    assert equal[~near].mean() > 0.99


def test_same_bytes_whatever_the_processes_and_threads(codec: Any, tmp_path: Path) -> None:
    """Codes are a function of audio and codec alone: batches and sums differ with both."""
    cuts = cuts_of(tmp_path, [0.5, 1.5, 0.2, 1.0, 0.9, 0.05, 2.7])
    digests = {}
    before = torch.get_num_threads()
    for threads, jobs in ((1, 1), (2, 1), (4, 1), (1, 2), (4, 2), (2, 4)):
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            path = tmp_path / f"{threads}-{jobs}.h5"
            encode_cuts(cuts, codec, path, num_jobs=jobs)
        digests[threads, jobs] = sha256(path)
    torch.set_num_threads(before)
    assert len(set(digests.values())) == 1, digests


def test_codes_say_whose_they_are(world: WorldCodec, tmp_path: Path) -> None:
    cuts = cuts_of(tmp_path, [0.5, 0.3])
    world.save(tmp_path / "codec.safetensors")
    choice = {"name": "world", "reason": "a test", "weights": None}
    describe_codec(tmp_path / "codec.json", tmp_path / "codec.safetensors", choice)
    codec = load_codec(tmp_path / "codec.json")
    expected = {
        "name": "world",
        "sha256": sha256(tmp_path / "codec.safetensors"),
        "frame_rate": 37.5,
        "num_quantizers": 8,
        "bins": 1024,
    }
    assert codec.identity == expected
    for name, jobs in (("a", 1), ("b", 2)):
        encode_cuts(cuts, codec, tmp_path / f"{name}.h5", jobs)
    assert codec_of_codes(tmp_path / "a.h5") == expected
    codec.identity = dict(reversed(expected.items()))
    encode_cuts(cuts, codec, tmp_path / "c.h5")
    assert len({sha256(tmp_path / f"{name}.h5") for name in "abc"}) == 1


def test_codes_of_an_earlier_version(world: WorldCodec, tmp_path: Path) -> None:
    assert world.identity is None
    encode_cuts(cuts_of(tmp_path, [0.3]), world, tmp_path / "codes.h5")
    assert codec_of_codes(tmp_path / "codes.h5") is None
    with h5py.File(tmp_path / "codes.h5", "a") as file:
        del file.attrs["codec"]
    assert codec_of_codes(tmp_path / "codes.h5") is None


def test_no_cuts(world: WorldCodec, tmp_path: Path) -> None:
    assert len(encode_cuts(CutSet.from_cuts([]), world, tmp_path / "codes.h5", num_jobs=2)) == 0
    assert (tmp_path / "codes.h5").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_file_is_named(world: WorldCodec, tmp_path: Path, jobs: int) -> None:
    cuts = cuts_of(tmp_path, [0.5, 1.0, 0.7])
    (tmp_path / "1.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"1\.wav: the audio of cut .* cannot be read"):
        encode_cuts(cuts, world, tmp_path / "codes.h5", num_jobs=jobs)
    (tmp_path / "1.wav").unlink()
    with pytest.raises(ValueError, match=r"1\.wav"):
        encode_cuts(cuts, world, tmp_path / "codes.h5", num_jobs=jobs)
    assert not (tmp_path / "codes.h5").exists()


def test_other_rates_and_stereo_are_refused(world: WorldCodec, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.wav has 16000 Hz, the codec needs 24000 Hz"):
        encode_cuts(cuts_of(tmp_path, [0.5], rate=16000), world, tmp_path / "codes.h5")
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(1, 1)] * 2, axis=1), 24000)
    recording = Recording.from_file(path)
    cut = CutSet.from_manifests(recordings=RecordingSet.from_recordings([recording]))[0]
    with pytest.raises(ValueError, match=r"stereo\.wav has 2 channels"):
        load_mono(cut)


def test_two_cuts_with_one_id(world: WorldCodec, tmp_path: Path) -> None:
    cuts = list(cuts_of(tmp_path, [0.5]))
    with pytest.raises(ValueError, match="two cuts have one id"):
        encode_cuts(CutSet.from_cuts(cuts * 2), world, tmp_path / "codes.h5")


def test_sample_for_fitting(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cuts = cuts_of(tmp_path / name, [1.0, 1.1, 1.2, 1.3])
        cuts.to_file(tmp_path / f"{name}.jsonl.gz")
        paths.append(tmp_path / f"{name}.jsonl.gz")
    lengths = [len(samples) for samples in sample_recordings(paths, 3.5, seed=1)]
    assert 3.5 <= sum(lengths) / 24000 < 3.5 + 1.3
    assert [len(samples) for samples in sample_recordings(paths, 3.5, seed=1)] == lengths
    assert len(list(sample_recordings(paths, 1e6, seed=1))) == 8


def test_real_recordings(spoken: Path, tmp_path: Path) -> None:
    paths = sorted(spoken.rglob("*.wav"))
    paths = [path for path in paths if soundfile.info(path).samplerate == 24000]
    recordings = RecordingSet.from_recordings(
        Recording.from_file(path, recording_id=str(i))
        for i, path in enumerate(paths[:4])
        if soundfile.info(path).channels == 1
    )
    cuts = CutSet.from_manifests(recordings=recordings)
    codec = WorldCodec.fit((load_mono(cut) for cut in cuts), seed=1)
    for cut in encode_cuts(cuts, codec, tmp_path / "codes.h5", num_jobs=2):
        samples = load_mono(cut)
        decoded = codec.decode(cut.codes.load())[: len(samples)]
        loudness = [librosa.feature.rms(y=signal)[0] for signal in (samples, decoded)]
        assert np.corrcoef(loudness)[0, 1] > 0.9
