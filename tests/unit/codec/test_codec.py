"""The two codecs, and the choice between them."""

import itertools
import json
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import pyworld
import scipy.signal
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from revoice.codec import choice as choice_module
from revoice.codec.choice import choose_codec, given_codec
from revoice.codec.encodec import SEGMENT, EncodecCodec, convert, encode_batch
from revoice.codec.files import GEOMETRY, describe_codec, load_codec
from revoice.codec.world import (
    ENERGY,
    LOG_F0,
    SCALE,
    VOICING,
    WIDTH,
    WorldCodec,
    _analyse,
    _with_floor,
    cheapest_path,
)
from revoice.config import CodecConfig
from revoice.download import DownloadError
from revoice.files import read_json, sha256, write_json

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing
ROOT = Path(__file__).resolve().parents[3]
Samples = NDArray[np.float32]


def speech_like(seconds: float, seed: int) -> Samples:
    """Voiced and unvoiced stretches and pauses, through changing resonances, at 24 kHz."""
    random = np.random.default_rng(seed)
    pieces = []
    while sum(map(len, pieces)) < seconds * 24000:
        length = int(random.integers(1200, 6000))
        kind = random.integers(4)
        time = np.arange(length) / 24000
        f0 = random.uniform(90, 250) * (1 + 0.1 * np.sin(4 * time))
        pulses = np.diff(np.floor(np.cumsum(f0) / 24000), prepend=0)
        source = [pulses, pulses, random.normal(size=length) * 0.1, np.zeros(length)][kind]
        spectrum = np.fft.rfft(source)
        frequencies = np.fft.rfftfreq(length, 1 / 24000)
        gain = sum(
            1 / (1 + ((frequencies - centre) / 120) ** 2)
            for centre in random.uniform([300, 900, 2200], [800, 2200, 3500])
        )
        piece = np.fft.irfft(spectrum * gain, length) * np.hanning(length)
        pieces.append(piece / max(1e-3, np.abs(piece).max()) * random.uniform(0.05, 0.5))
    noise = random.normal(size=int(seconds * 24000)) * 1e-4
    return (np.concatenate(pieces)[: int(seconds * 24000)] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def world() -> WorldCodec:
    return WorldCodec.fit([speech_like(20, seed) for seed in range(3)], seed=1)


@pytest.fixture(scope="module")
def package_model() -> Any:
    """encodec's own model, with random weights."""
    return runpy.run_path(str(ROOT / "benchmarks" / "encode.py"))["random_model"](seed=3)


@pytest.fixture(scope="module")
def encodec(package_model: Any) -> EncodecCodec:
    return EncodecCodec(package_model.state_dict())


@pytest.fixture(params=["world", "encodec"])
def codec(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def log_mel(samples: Samples) -> NDArray[np.float64]:
    power = librosa.feature.melspectrogram(y=samples, sr=24000, n_mels=40, hop_length=320)
    return np.log(power + 1e-4)


# Both codecs


def test_geometry(codec: Any) -> None:
    expected = (640, 37.5) if isinstance(codec, WorldCodec) else (320, 75)
    assert (codec.sample_rate, codec.hop, codec.frame_rate) == (24000, *expected)
    assert (codec.num_quantizers, codec.bins) == (8, 1024)
    public = {name for name in dir(codec) if not name.startswith("_")}
    instance = public - {"fit", "moved", "load", "save"}  # how codecs come to be
    geometry = {"sample_rate", "hop", "frame_rate", "num_quantizers", "bins"}
    assert instance == {"encode", "decode", "entries", "weights", "device", "identity", *geometry}


@pytest.mark.parametrize(
    "length", [0, 1, 100, 319, 320, 321, 640, 641, 1920, 2240, 2241, 24000, 31999]
)
def test_frames_of_any_length(codec: Any, length: int) -> None:
    codes = codec.encode(speech_like(2, 7)[:length])
    assert codes.dtype == np.int16
    assert codes.shape == (-(-length // codec.hop), 8)
    samples = codec.decode(codes)
    assert samples.dtype == np.float32
    assert samples.shape == (len(codes) * codec.hop,)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(12000, np.float32),
        np.full(12000, 0.3, np.float32),
        np.sign(speech_like(1, 3)),
        np.clip(speech_like(1, 3) * 20, -1, 1),
        np.random.default_rng(0).normal(size=12000).astype(np.float32),
        speech_like(1, 3) * 1e-5,
        np.asarray(speech_like(1, 3), np.float64)[::2],
    ],
    ids=["silence", "constant", "square", "clipped", "noise", "faint", "float64 with strides"],
)
def test_unusual_audio(codec: Any, samples: Samples) -> None:
    codes = codec.encode(samples)
    assert codes.min() >= 0
    assert codes.max() < 1024
    decoded = codec.decode(codes)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded).max() <= 1
    assert (codec.encode(samples) == codes).all()
    assert (codec.decode(codes) == decoded).all()


def test_bad_input_is_refused(codec: Any) -> None:
    with pytest.raises(ValueError, match="mono"):
        codec.encode(np.zeros((1, 24000), np.float32))
    with pytest.raises(ValueError, match="not finite"):
        codec.encode(np.array([0, np.nan], np.float32))
    with pytest.raises(ValueError, match="expected \\(frames, 8\\)"):
        codec.decode(np.zeros((5, 4), np.int16))
    for wrong in (-1, 1024):
        with pytest.raises(ValueError, match="expected 0 to 1023"):
            codec.decode(np.full((5, 8), wrong, np.int16))


def test_published_prompts_decode(codec: Any, shared: Path) -> None:
    """Real EnCodec codes have our range and layout."""
    paths = sorted((shared / "parity" / "presets").glob("*.npz"))
    if not paths:
        pytest.skip("no presets in ../shared")
    for path in paths:
        codes = np.load(path)["audio_tokens"]
        assert codes.shape[0] == 1
        assert codes.shape[2] == codec.num_quantizers
        assert codes.min() >= 0
        assert codes.max() < codec.bins
        assert len(codec.decode(codes[0].astype(np.int16))) == codes.shape[1] * codec.hop


def test_entries_are_what_codes_stand_for(codec: Any) -> None:
    """Distances between them, weighted, are those by which codes are chosen."""
    for quantizer in range(codec.num_quantizers):
        entries, weights = codec.entries(quantizer), codec.weights(quantizer)
        assert (entries.dtype, entries.shape[0]) == (np.float32, 1024)
        assert (weights.dtype, weights.shape) == (np.float32, entries.shape[1:])
        seen = (entries.astype(np.float64) * weights)[:, weights > 0]
        points = seen[::50]
        distances = codec._searches[quantizer].distances(points)
        distances += np.square(points).sum(axis=1, keepdims=True)
        ours = np.square(points[:, None] - seen).sum(axis=2)
        np.testing.assert_allclose(distances, ours, atol=1e-4 * ours.max())


# WORLD


def test_world_keeps_the_spectrum(world: WorldCodec) -> None:
    original = speech_like(10, 99)
    decoded = world.decode(world.encode(original))[: len(original)]
    reference = log_mel(original)
    error = np.abs(log_mel(decoded) - reference).mean()
    silence = np.abs(reference.mean() - reference).mean()
    assert error < 0.5 * silence


def test_world_keeps_real_speech(spoken: Path) -> None:
    paths = sorted((spoken / "LibriTTS").rglob("*.wav"))
    recordings = [librosa.load(path, sr=24000)[0] for path in paths]
    codec = WorldCodec.fit(recordings, seed=1)
    for original in recordings:
        decoded = codec.decode(codec.encode(original))[: len(original)]
        both = np.stack([log_mel(original).ravel(), log_mel(decoded).ravel()])
        assert np.corrcoef(both)[0, 1] > 0.9
        loudness = 20 * np.log10(decoded.std() / original.std())
        assert abs(loudness) < 3


def test_world_first_codebook_follows_the_sound(world: WorldCodec) -> None:
    """Codebook 0 alone, the others as in silence, still tells stretches apart."""
    original = speech_like(10, 99)
    codes = world.encode(original)
    codes[:, 1:] = world.encode(np.zeros(24000, np.float32))[10, 1:]
    decoded = world.decode(codes)[: len(original)]
    both = np.stack([log_mel(original).ravel(), log_mel(decoded).ravel()])
    assert np.corrcoef(both)[0, 1] > 0.5


def test_world_pitch_and_voicing(world: WorldCodec) -> None:
    time = np.arange(24000) / 24000
    buzz = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20)) * 0.2
    samples = np.concatenate([buzz, np.random.default_rng(0).normal(size=24000) * 0.05])
    decoded = world.decode(world.encode(samples.astype(np.float32)))
    # Harvest, which the codec itself does not use.
    f0, _ = pyworld.harvest(decoded.astype(np.float64), 24000, frame_period=40 / 3)
    assert (f0[15:60] > 0).mean() > 0.9
    assert np.median(f0[15:60]) == pytest.approx(150, rel=0.05)
    noisy, clear = (
        librosa.feature.spectral_flatness(y=part).mean()
        for part in (decoded[24000:], decoded[:24000])
    )
    assert noisy > 10 * clear


def test_world_is_the_same_each_time(tmp_path: Path) -> None:
    recordings = [speech_like(6, 1), speech_like(4, 2), speech_like(6, 3)]
    for name, jobs in (("a", 1), ("b", 2)):
        WorldCodec.fit(recordings, seed=5, num_jobs=jobs).save(tmp_path / name)
    WorldCodec.fit(recordings, seed=6).save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_world_saved_and_loaded(world: WorldCodec, tmp_path: Path) -> None:
    world.save(tmp_path / "codec.safetensors")
    loaded = WorldCodec.load(tmp_path / "codec.safetensors")
    samples = speech_like(2, 42)
    codes = world.encode(samples)
    assert (loaded.encode(samples) == codes).all()
    assert (loaded.decode(codes) == world.decode(codes)).all()


def through_a_channel(samples: Samples) -> Samples:
    """Softer, with little below 300 Hz and above 3000 Hz."""
    band = scipy.signal.butter(1, [300, 3000], "bandpass", fs=24000, output="sos")
    return (0.4 * scipy.signal.sosfilt(band, samples)).astype(np.float32)


def test_world_is_moved_to_a_channel(world: WorldCodec, tmp_path: Path) -> None:
    moved = world.moved([through_a_channel(speech_like(10, seed)) for seed in (21, 22, 23)], 1)
    clean = speech_like(20, 31)
    heard = through_a_channel(clean)
    true = world.encode(clean)
    same = [(codec.encode(heard)[:, 0] == true[:, 0]).mean() for codec in (world, moved)]
    assert same[1] > same[0] + 0.2, "codes mean what they meant"

    def envelopes(samples: Samples) -> Samples:
        return _with_floor(_analyse(samples), world._floor)[:, ENERGY : ENERGY + 8]

    left = [
        np.abs((envelopes(c.decode(c.encode(heard))) - envelopes(heard)).mean(0)).max()
        for c in (world, moved)
    ]
    assert left[1] < 0.6 * left[0], "and sound as what was recorded"
    assert (moved.encode(clean)[:, 0] == true[:, 0]).mean() < same[1]
    moved.save(tmp_path / "moved.safetensors")
    loaded = WorldCodec.load(tmp_path / "moved.safetensors")
    assert (loaded.encode(heard) == moved.encode(heard)).all()
    assert (loaded.decode(true) == moved.decode(true)).all()
    assert (world.decode(true) != moved.decode(true)).any()
    with pytest.raises(ValueError, match="needs audio to be moved to"):
        world.moved([], 1)


def test_world_knows_what_a_telephone_leaves_out(world: WorldCodec) -> None:
    def telephoned(samples: Samples) -> Samples:
        low = scipy.signal.butter(10, 7000, "low", fs=24000, output="sos")
        return scipy.signal.sosfiltfilt(low, samples).astype(np.float32)

    moved = world.moved([telephoned(speech_like(10, seed)) for seed in (21, 22, 23)], 1)
    clean = speech_like(20, 31)
    true = world.encode(clean)
    same = [
        (codec.encode(telephoned(clean))[:, 0] == true[:, 0]).mean() for codec in (world, moved)
    ]
    assert same[1] > same[0] + 0.1

    def highs(samples: Samples) -> float:
        power = np.abs(librosa.stft(samples)) ** 2
        return power[-300:].sum() / power.sum()  # above 8500 Hz

    assert highs(moved.decode(true)) < 0.01 * highs(world.decode(true)), "and leaves it out again"


def test_world_moved_by_another_version(world: WorldCodec, tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    world.save(path)
    save_file(load_file(path) | {"channel": torch.zeros(48)}, path, {"codec": "world"})
    with pytest.raises(ValueError, match="moved by another version"):
        WorldCodec.load(path)


def test_world_that_was_not_moved_is_stored_as_before(world: WorldCodec, tmp_path: Path) -> None:
    world.save(tmp_path / "codec.safetensors")
    assert "channel" not in load_file(tmp_path / "codec.safetensors")


def test_world_uses_few_entries(world: WorldCodec) -> None:
    """Between the first codebook and the last they have 256, then the last of these again."""
    for quantizer in range(1, 7):
        entries = world.entries(quantizer)
        assert len(np.unique(entries[:256], axis=0)) > 200
        assert (entries[256:] == entries[255]).all()
    for quantizer in (0, 7):
        assert len(np.unique(world.entries(quantizer), axis=0)) > 700
    codes = world.encode(speech_like(10, 99))
    assert codes[:, 1:7].max() < 256 <= codes[:, 7].max()


def test_world_codebooks_look_at_their_own_parameters(world: WorldCodec) -> None:
    columns = [np.flatnonzero(world.weights(k)) for k in range(8)]
    assert columns[1].tolist() == [LOG_F0, VOICING]
    every = [*columns[1], *columns[2], *(c for k in range(3, 7) for c in columns[k])]
    assert sorted(every) == list(range(WIDTH))
    assert set(columns[3]) < set(columns[0]) <= {ENERGY + c for c in range(20)}
    assert len(columns[7]) == WIDTH


def test_world_entries_hold_what_goes_with_them(world: WorldCodec) -> None:
    """The mean of what is left, in all columns but F0 and voicing: it comes nearer to the sound."""
    parameters = _with_floor(_analyse(speech_like(10, 98)), world._floor)
    left = (parameters - world._mean) * SCALE
    codes = world.encode(speech_like(10, 98))
    for quantizer in range(7):
        entries = world.entries(quantizer)
        outside = np.flatnonzero(world.weights(quantizer) == 0)
        told = np.abs(entries[:, outside]).max(axis=0) > 0
        assert set(outside[~told]) == {LOG_F0, VOICING} - set(
            np.flatnonzero(world.weights(quantizer))
        )
        before = np.square(left[:, outside]).sum()
        left = left - entries[codes[:, quantizer]]
        assert np.square(left[:, outside]).sum() < (1.02 if quantizer else 0.9) * before


def test_world_fitted_on_less_than_a_codebook() -> None:
    """A second of audio has 38 frames; any code decodes, and its own frames come back exactly."""
    samples = speech_like(1, 4)
    codec = WorldCodec.fit([samples], seed=1)
    codes = codec.encode(samples)
    assert codes.max() < 38
    assert np.isfinite(codec.decode(np.full((10, 8), 1023, np.int16))).all()
    assert np.isfinite(codec.decode(codec.encode(speech_like(2, 5)))).all()


def test_world_fitted_on_silence_and_on_nothing() -> None:
    codec = WorldCodec.fit([np.zeros(24000, np.float32)], seed=1)
    assert np.abs(codec.decode(codec.encode(np.zeros(24000, np.float32)))).max() < 1e-2
    for nothing in ([], [np.zeros(0, np.float32)]):
        with pytest.raises(ValueError, match="there is none"):
            WorldCodec.fit(nothing, seed=1)


def test_world_long_audio_in_pieces(world: WorldCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = speech_like(9, 8)
    whole = world.encode(samples)
    monkeypatch.setattr("revoice.codec.world.PIECE", 100)
    pieces = world.encode(samples)
    assert pieces.shape == whole.shape
    assert (pieces[:, 0] == whole[:, 0]).mean() > 0.95
    assert (pieces[:75, 0] == whole[:75, 0]).all()


# EnCodec


def by_the_package(model: Any, samples: Samples) -> NDArray[np.int64]:
    with torch.no_grad():
        (codes, scale), = model.encode(torch.from_numpy(samples)[None, None])  # fmt: skip
    assert scale is None
    return codes[0].T.numpy()


def test_encodec_agrees_with_the_package(package_model: Any, encodec: EncodecCodec) -> None:
    """In one batch: short, long, and just around the ends of segments and frames."""
    edge = SEGMENT * 320
    lengths = [1, 320, 1921, 2241, 20001, 31777, edge, edge + 1, edge + 640, 2 * edge + 12345]
    recordings = [speech_like(5, i)[:length] for i, length in enumerate(lengths)]
    batch = encode_batch(encodec, recordings)
    different = total = 0
    for samples, codes in zip(recordings, batch, strict=True):
        expected = by_the_package(package_model, samples)
        assert codes.shape == expected.shape
        assert (encodec.encode(samples) == codes).all(axis=1).mean() > 0.99
        different += (codes != expected).any(axis=1).sum()
        total += len(codes)
    assert len(np.unique(np.concatenate(batch)[:, 0])) > 30  # the comparison means something
    assert different <= 0.005 * total


class Asked:
    """Samples that know the longest part of them that was asked for at once."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.longest = samples, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> Samples:
        given = self.samples[part]
        self.longest = max(self.longest, len(given))
        return given


def test_encodec_reads_long_audio_in_windows(
    encodec: EncodecCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = 2 * SEGMENT * 320
    lengths = [edge, edge + 1, edge + 320, 2 * edge - 5, 3 * edge + 321, 4000]
    recordings = [speech_like(14, i)[:length] for i, length in enumerate(lengths)]
    whole = encode_batch(encodec, recordings)
    monkeypatch.setattr("revoice.codec.encodec.WINDOW", 2 * SEGMENT)
    asked = [Asked(samples) for samples in recordings]
    same = np.concatenate(
        [
            (codes == expected).all(1)
            for codes, expected in zip(encode_batch(encodec, asked), whole, strict=True)
        ]
    )
    assert len(same) == sum(-(-length // 320) for length in lengths)
    assert same.mean() >= 0.999
    assert max(samples.longest for samples in asked) <= edge + 3 * 320
    alone = encode_batch(encodec, recordings[4:5])[0]
    assert (alone == encode_batch(encodec, recordings)[4]).all()


def test_encodec_decodes_as_the_package(package_model: Any, encodec: EncodecCodec) -> None:
    codes = encodec.encode(speech_like(2, 1))
    with torch.no_grad():
        expected = package_model.decode([(torch.from_numpy(codes.T[None].astype(np.int64)), None)])
    np.testing.assert_allclose(encodec.decode(codes), expected[0, 0].clamp(-1, 1), atol=1e-5)


def test_encodec_leaves_no_stand_in() -> None:
    """An empty torchaudio in sys.modules would mislead other libraries."""
    module = sys.modules.get("torchaudio")
    assert module is None or module.__spec__ is not None


def test_encodec_converted_and_loaded(
    package_model: Any, encodec: EncodecCodec, tmp_path: Path
) -> None:
    torch.save(package_model.state_dict(), tmp_path / "published.th")
    convert(tmp_path / "published.th", tmp_path / "codec.safetensors")
    chosen = {"name": "encodec_24khz", "reason": "a test", "weights": "published.th"}
    describe_codec(tmp_path / "codec.json", tmp_path / "codec.safetensors", chosen)
    codec = load_codec(tmp_path / "codec.json")
    assert isinstance(codec, EncodecCodec)
    samples = speech_like(1, 6)
    assert (codec.encode(samples) == encodec.encode(samples)).all()


def test_encodec_refuses_other_weights(tmp_path: Path) -> None:
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "other.th")
    with pytest.raises(ValueError, match="not the weights of encodec_24khz"):
        convert(tmp_path / "other.th", tmp_path / "codec.safetensors")
    assert not (tmp_path / "codec.safetensors").exists()


# codec.json


def test_codec_json(world: WorldCodec, tmp_path: Path) -> None:
    weights = tmp_path / "codec.safetensors"
    world.save(weights)
    chosen = {"name": "world", "reason": "asked for", "weights": None}
    describe_codec(tmp_path / "codec.json", weights, chosen)
    description = read_json(tmp_path / "codec.json")
    digest = sha256(weights)
    assert description == {
        "name": "world",
        "reason": "asked for",
        "weights": "codec.safetensors",
        "sha256": digest,
        "sample_rate": 24000,
        "frame_rate": 37.5,
        "num_quantizers": 8,
        "bins": 1024,
        "bandwidth": 3.0,
        "describe": f"world (codes of 8 x 1024 at 37.5 Hz, sha256 {digest[:8]})",
    }
    codec = load_codec(tmp_path / "codec.json", device="auto")
    assert isinstance(codec, WorldCodec)

    tensors = load_file(weights)
    tensors["mean"] = tensors["mean"] + 1
    save_file(tensors, weights, {"codec": "world"})
    with pytest.raises(ValueError, match=r"codec\.safetensors has the SHA-256"):
        load_codec(tmp_path / "codec.json")


def test_a_codec_of_another_version_is_refused(world: WorldCodec, tmp_path: Path) -> None:
    world.save(tmp_path / "codec.safetensors")
    chosen = {"name": "world", "reason": "asked for", "weights": None}
    describe_codec(tmp_path / "codec.json", tmp_path / "codec.safetensors", chosen)
    description = read_json(tmp_path / "codec.json")
    write_json(tmp_path / "codec.json", {**description, "frame_rate": 75})
    for read in (load_codec, given_codec):
        with pytest.raises(
            ValueError,
            match=r"codec\.json: this world codec was made by another version of revoice, with "
            r"frame_rate 75; this version's has frame_rate 37\.5\. If it lies in results/codecs/, "
            r"remove its folder, .* trained anew",
        ):
            read(tmp_path / "codec.json")
    write_json(tmp_path / "codec.json", {**description, "bins": 512, "sample_rate": 16000})
    with pytest.raises(ValueError, match=r"sample_rate 16000, bins 512; .* 24000, bins 1024"):
        load_codec(tmp_path / "codec.json")


def test_world_refuses_other_files(tmp_path: Path) -> None:
    save_file({"mean": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors does not hold"):
        WorldCodec.load(tmp_path / "other.safetensors")


def test_first_codebook_takes_the_cheapest_path() -> None:
    """Codes chosen together cost no more than any other sequence of codes."""
    distances = np.random.default_rng(1).random((6, 3)).astype(np.float32)

    def cost(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return float(distances[np.arange(6), list(path)].sum() + 0.4 * changes)

    cheapest = min(itertools.product(range(3), repeat=6), key=cost)
    assert tuple(cheapest_path(distances, 0.4)) == cheapest
    assert len(set(cheapest_path(distances, 100.0))) == 1


# The choice


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Where weights would be: on a port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "pretrained.yaml"
    entry = {"url": f"http://127.0.0.1:{port}/w.th", "sha256": "0123"}
    path.write_text(json.dumps({"encodec_24khz": entry}))
    return path


def test_fallback_with_its_reason(published: Path, tmp_path: Path) -> None:
    chosen = choose_codec(
        CodecConfig(kind="encodec_24khz", fallback="world"), published, tmp_path / "data"
    )
    assert (chosen["name"], chosen["weights"]) == ("world", None)
    assert "encodec_24khz cannot be had" in chosen["reason"]
    assert "w.th" in chosen["reason"]
    assert "\n" not in chosen["reason"]


def test_without_fallback_it_says_what_to_do(published: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"(?s)w\.th.*`fallback: world` for this codec"):
        choose_codec(CodecConfig(kind="encodec_24khz"), published, tmp_path / "data")


def test_nothing_steps_in_for_a_model_trained_on_encodec(published: Path, tmp_path: Path) -> None:
    config = CodecConfig(kind="encodec_24khz", fallback="world")
    with pytest.raises(DownloadError, match=r"(?s)w\.th.*my_voice starts from was trained on EnC"):
        choose_codec(config, published, tmp_path / "data", needed_by=["my_voice"])


def test_a_codec_that_came_with_a_model(tmp_path: Path) -> None:
    description = {"name": "world", "weights": "codec.safetensors", "sha256": EMPTY}
    description |= {key: getattr(WorldCodec, key) for key in GEOMETRY}
    write_json(tmp_path / "codec.json", description)
    with pytest.raises(ValueError, match=r"codec\.json names codec\.safetensors, which does not"):
        given_codec(tmp_path / "codec.json")
    (tmp_path / "codec.safetensors").write_bytes(b"others")
    with pytest.raises(ValueError, match=r"codec\.safetensors is not what .*codec\.json"):
        given_codec(tmp_path / "codec.json")
    (tmp_path / "codec.safetensors").write_bytes(b"")
    chosen = given_codec(tmp_path / "codec.json")
    assert chosen["name"] == "world"
    assert chosen["weights"] == str(tmp_path / "codec.safetensors")


def test_world_by_name_needs_no_network(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice_module, "download", None)  # any use would fail
    assert choose_codec(CodecConfig(kind="world"), published, tmp_path)["name"] == "world"


def test_weights_that_are_there_are_verified(published: Path, tmp_path: Path) -> None:
    weights = tmp_path / "data" / "w.th"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    entry = json.loads(published.read_text())
    entry["encodec_24khz"]["sha256"] = sha256(weights)[:8]
    published.write_text(json.dumps(entry))
    chosen = choose_codec(CodecConfig(kind="encodec_24khz"), published, weights.parent)
    assert chosen["name"] == "encodec_24khz"
    assert chosen["weights"] == str(weights)
    assert sha256(weights)[:8] in chosen["reason"]

    weights.write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"w\.th"):
        choose_codec(CodecConfig(kind="encodec_24khz"), published, weights.parent)
