"""Vocos in EnCodec's place: as its package decodes, in windows, from files that may be wrong."""

import logging
import pickle
import shutil
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from revoice.codec import vocos as module
from revoice.codec.encodec import EncodecCodec
from revoice.codec.standin import torchaudio_or_nothing
from revoice.codec.vocos import CODEBOOKS, VocosDecoder, load_decoder
from revoice.codec.vocos_files import (
    BANDWIDTHS,
    CONFIG,
    NAME,
    WEIGHTS,
    choose_decoder,
    fetch_vocos,
    read_config,
)
from revoice.download import PUBLISHED, DownloadError
from revoice.files import sha256

with torchaudio_or_nothing():
    from vocos import Vocos
    from vocos.feature_extractors import EncodecModel

PUBLISHED_CONFIG: dict[str, Any] = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.EncodecFeatures",
        "init_args": {
            "encodec_model": "encodec_24khz",
            "bandwidths": BANDWIDTHS,
            "train_codebooks": False,
        },
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {
            "input_channels": 128,
            "dim": 384,
            "intermediate_dim": 1152,
            "num_layers": 8,
            "adanorm_num_embeddings": 4,
        },
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 384, "n_fft": 1280, "hop_length": 320, "padding": "same"},
    },
}
ENCODEC = {"name": "encodec_24khz", "reason": "as configured"}
Codes = NDArray[np.int16]


def changed(values: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A configuration in which `part__key=value` of some `init_args` are others."""
    config = yaml.safe_load(yaml.safe_dump(dict(values)))
    for place, value in changes.items():
        part, key = place.split("__")
        (config[part] if key == "class_path" else config[part]["init_args"])[key] = value
    return config


@pytest.fixture(scope="module")
def encodec_model() -> Any:
    """encodec's own model, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
        for layer in model.quantizer.vq.layers:
            layer._codebook.embed.normal_()
    return model


@pytest.fixture(scope="module")
def encodec(encodec_model: Any) -> EncodecCodec:
    return EncodecCodec(encodec_model.state_dict())


@pytest.fixture(scope="module")
def folder(encodec_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the published form: no tensor of EnCodec but the codebooks."""
    folder = tmp_path_factory.mktemp("vocos")
    write(package_model(folder, encodec_model), folder)
    return folder


@pytest.fixture(scope="module")
def package(folder: Path, encodec_model: Any) -> Any:
    """The package's own model, with the same weights."""
    return package_model(folder, encodec_model)


@pytest.fixture(scope="module")
def decoder(folder: Path) -> VocosDecoder:
    return VocosDecoder.load(folder)


def package_model(folder: Path, encodec_model: Any) -> Any:
    """Vocos as its package builds it from a config.yaml, with EnCodec's codebooks."""
    (folder / CONFIG).write_text(yaml.safe_dump(PUBLISHED_CONFIG), "utf-8")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(), torch.no_grad():
        patch.setattr(EncodecModel, "encodec_model_24khz", lambda pretrained: encodec_model)
        torch.manual_seed(5)
        model = Vocos.from_hparams(str(folder / CONFIG)).eval()
        for name, parameter in model.backbone.named_parameters():
            if "norm" in name or "gamma" in name:  # they begin as ones and zeros, or small
                parameter.add_(0.5 * torch.randn_like(parameter))
        model.head.out.bias += 2  # loud: some of it has to be cut off
    return model


def write(model: Any, folder: Path) -> None:
    state = {k: v for k, v in model.state_dict(keep_vars=True).items() if ".encodec." not in k}
    assert len(state) == 82
    torch.save(state, folder / WEIGHTS)


def draw(frames: int, seed: int = 1) -> Codes:
    return np.random.default_rng(seed).integers(0, 1024, (frames, 8)).astype(np.int16)


def whole(model: Any, codes: Codes) -> NDArray[np.float32]:
    """As the package's documentation decodes, at 6 kbps."""
    with torch.no_grad():
        features = model.codes_to_features(torch.from_numpy(codes.T.astype(np.int64)))
        return model.decode(features, bandwidth_id=torch.tensor([2]))[0].clamp(-1, 1).numpy()


@pytest.mark.parametrize("frames", [0, 1, 2, 60, 150])
def test_decodes_as_the_package(package: Any, decoder: VocosDecoder, frames: int) -> None:
    codes = draw(frames)
    samples = decoder.decode(codes)
    assert (samples.dtype, samples.shape) == (np.float32, (frames * 320,))
    assert (decoder.sample_rate, decoder.hop) == (24000, 320)
    assert (decoder.decode(codes) == samples).all()
    if frames:
        np.testing.assert_allclose(samples, whole(package, codes), atol=1e-5)
        assert samples.std() > 0.05
        assert np.abs(samples).max() <= 1
    if frames == 150:
        assert np.abs(samples).max() == 1, "something was cut off"


@pytest.mark.parametrize("frames", [1, 39, 40, 41, 80, 97, 230])
def test_windows_are_as_the_whole(
    package: Any, decoder: VocosDecoder, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    monkeypatch.setattr(module, "WINDOW", 40)
    codes = draw(frames, seed=2)
    np.testing.assert_allclose(decoder.decode(codes), whole(package, codes), atol=1e-4)


def test_a_window_sees_a_little_of_long_codes(
    decoder: VocosDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def speak(codes: Codes) -> NDArray[np.float32]:
        seen.append(len(codes))
        return np.zeros(len(codes) * 320, np.float32)

    monkeypatch.setattr(decoder, "_speak", speak)
    assert len(decoder.decode(draw(2000))) == 2000 * 320
    assert seen == [750 + 29, 29 + 750 + 29, 29 + 500]


def test_a_frame_is_heard_within_the_context_alone(decoder: VocosDecoder) -> None:
    codes = draw(200)
    other = codes.copy()
    other[100] = (codes[100] + 7) % 1024
    heard = np.flatnonzero(decoder.decode(codes) != decoder.decode(other)) // 320
    assert 100 - 29 <= heard.min() < 100 - 20
    assert 100 + 20 < heard.max() <= 100 + 29


def test_bad_codes_are_refused(decoder: VocosDecoder) -> None:
    with pytest.raises(ValueError, match="expected \\(frames, 8\\)"):
        decoder.decode(np.zeros((5, 4), np.int16))
    for wrong in (-1, 1024):
        with pytest.raises(ValueError, match="expected 0 to 1023"):
            decoder.decode(np.full((5, 8), wrong, np.int16))


def test_loading_leaves_chance_alone(folder: Path) -> None:
    """What is drawn after it is the same with either decoder."""
    before = torch.get_rng_state()
    VocosDecoder.load(folder)
    assert (torch.get_rng_state() == before).all()


class Runs:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def spoil(folder: Path, what: str) -> None:
    """Weights that are not those of a whole Vocos."""
    path = folder / WEIGHTS
    if what == "page":
        path.write_text("<html>Log in</html>")
    elif what == "cut off":
        path.write_bytes(path.read_bytes()[:1_000_000])
    elif what == "program":
        path.write_bytes(pickle.dumps(Runs(), protocol=2))
    else:
        state = torch.load(path, weights_only=True)
        states = {
            "no codebooks": {k: v for k, v in state.items() if k != CODEBOOKS},
            "codebooks of 3 kbps": state | {CODEBOOKS: state[CODEBOOKS][:4096]},
            "one more": state | {"backbone.more": torch.zeros(1)},
            "not finite": state | {"head.out.bias": torch.full((1282,), torch.nan)},
            "no tensors": ["head"],
        }
        torch.save(states[what], path)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the files, to be spoilt."""
    shutil.copytree(folder, tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("page", "nothing that torch.load can read"),
        ("cut off", "nothing that torch.load can read"),
        ("program", "nothing that torch.load can read"),
        ("no codebooks", rf"tensors are missing, too many or of another shape: {CODEBOOKS}, 1 in"),
        ("codebooks of 3 kbps", rf"of another shape: {CODEBOOKS}, 1 in all"),
        ("one more", r"another shape: backbone\.more, 1 in all"),
        ("not finite", r"head\.out\.bias has values that are not finite"),
        ("no tensors", "it holds no tensors"),
    ],
)
def test_weights_of_something_else(own: Path, what: str, said: str) -> None:
    spoil(own, what)
    with pytest.raises(ValueError, match=said) as error:
        VocosDecoder.load(own)
    assert str(own / WEIGHTS) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            changed(
                PUBLISHED_CONFIG,
                feature_extractor__class_path="vocos.feature_extractors.MelSpectrogramFeatures",
                backbone__input_channels=100,
            ),
            r"MelSpectrogramFeatures.*backbone\.init_args\.input_channels is 100, expected 128",
        ),
        (changed(PUBLISHED_CONFIG, head__hop_length=256), "hop_length is 256, expected 320"),
        (
            changed(PUBLISHED_CONFIG, feature_extractor__encodec_model="encodec_48khz"),
            "encodec_model is 'encodec_48khz'",
        ),
        ({"backbone": {}}, "there is no section feature_extractor"),
        ("<html>\t: [", "it is no YAML with sections"),
        ("just words", "it is no YAML with sections"),
    ],
)
def test_a_config_of_something_else(own: Path, config: Any, said: str) -> None:
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    (own / CONFIG).write_text(text, "utf-8")
    with pytest.raises(ValueError, match=said) as error:
        VocosDecoder.load(own)
    assert str(own / CONFIG) in str(error.value)
    assert "Remove it" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"backbone__dim": 256, "head__dim": 256},
            r"of another shape: backbone\.embed\.weight, 71 in all",
        ),
        ({"backbone__num_layers": 6}, r"backbone\.convnext\.6\..*, 18 in all"),
        ({"backbone__num_layers": "8"}, r"no model has the sizes of config\.yaml"),
        ({"backbone__kernel": 7}, r"no model has the sizes of config\.yaml"),
    ],
)
def test_a_config_of_other_sizes(own: Path, changes: dict[str, Any], said: str) -> None:
    (own / CONFIG).write_text(yaml.safe_dump(changed(PUBLISHED_CONFIG, **changes)), "utf-8")
    with pytest.raises(ValueError, match=said):
        VocosDecoder.load(own)


# Where the files come from


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A server that has the files, as revision `r1`."""
    shutil.copytree(folder, tmp_path / "hub/r1")
    handler = partial(Quiet, directory=str(tmp_path / "hub"))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def publish(path: Path, port: int, digest: str) -> Path:
    url = f"http://127.0.0.1:{port}/{{revision}}/{{file}}"
    entry = {"url": url, "revision": "r1", "files": {WEIGHTS: digest, CONFIG: ""}}
    path.write_text(yaml.safe_dump({NAME: entry}, sort_keys=False))
    return path


def test_fetched_once(
    hub: ThreadingHTTPServer, folder: Path, encodec: EncodecCodec, tmp_path: Path
) -> None:
    digest = sha256(folder / WEIGHTS)
    published = publish(tmp_path / "published.yaml", hub.server_address[1], digest)
    choice = choose_decoder(ENCODEC, published, tmp_path / "data/vocos")
    place = f"http://127.0.0.1:{hub.server_address[1]}/r1"
    assert choice == {
        "describe": f"vocos (sha256 {digest[:8]})",
        "reason": f"as configured; its weights came from {place}",
        "folder": (tmp_path / "data/vocos").as_posix(),
        "sha256": digest,
    }
    assert {path.name for path in Path(str(choice["folder"])).iterdir()} == {WEIGHTS, CONFIG}
    shutil.rmtree(tmp_path / "hub")
    again = choose_decoder(ENCODEC, published, tmp_path / "data/vocos")
    assert again == choice | {"reason": "as configured; its weights were there already"}
    assert isinstance(load_decoder(encodec, again), VocosDecoder)


def test_files_that_cannot_be_had(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    published = publish(tmp_path / "published.yaml", port, "0" * 64)
    with pytest.raises(DownloadError) as error:
        fetch_vocos(published, tmp_path / "vocos")
    said = str(error.value)
    assert f"Get http://127.0.0.1:{port}/r1/{WEIGHTS} in another way" in said
    assert f"put it at {tmp_path / 'vocos' / WEIGHTS} (SHA-256 {'0' * 64})" in said
    urls = [f"http://127.0.0.1:{port}/r1/{file}" for file in (WEIGHTS, CONFIG)]
    assert f"Vocos needs {' and '.join(urls)} in {tmp_path / 'vocos'}." in said
    assert "`synthesis: {decoder: encodec}`" in said


def test_files_that_are_others(hub: ThreadingHTTPServer, folder: Path, tmp_path: Path) -> None:
    published = publish(tmp_path / "published.yaml", hub.server_address[1], "0" * 64)
    with pytest.raises(DownloadError, match="what arrived has the SHA-256"):
        fetch_vocos(published, tmp_path / "vocos")
    assert not list((tmp_path / "vocos").iterdir())
    publish(published, hub.server_address[1], sha256(folder / WEIGHTS))
    (tmp_path / "hub/r1" / CONFIG).write_text("<html>Log in</html>")
    with pytest.raises(ValueError, match=r"vocos/config\.yaml does not describe the Vocos"):
        fetch_vocos(published, tmp_path / "vocos")


def test_what_is_published_is_pinned() -> None:
    entry = yaml.safe_load(PUBLISHED.read_text("utf-8"))[NAME]
    assert set(entry["files"]) == {WEIGHTS, CONFIG}
    assert len(bytes.fromhex(entry["files"][WEIGHTS])) == 32
    assert len(bytes.fromhex(entry["revision"])) == 20
    assert "{revision}" in entry["url"]


# Which decoder it is


def test_world_decodes_its_own_codes(
    encodec: EncodecCodec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """EnCodec's weights could not be had: no file of Vocos is asked for."""
    stepped_in = {"name": "world", "reason": "fallback, because of the network"}
    with caplog.at_level(logging.WARNING):
        choice = choose_decoder(stepped_in, tmp_path / "none.yaml", tmp_path / "vocos")
    assert choice["folder"] is None
    assert choice["describe"] == "world"
    assert "the codec is world (fallback, because of the network)" in caplog.text
    assert not (tmp_path / "vocos").exists()
    caplog.clear()
    assert load_decoder(encodec, choice) is encodec
    assert "whose codes Vocos cannot read: it decodes them itself" in caplog.text


def test_the_decoder_of_codes(encodec: EncodecCodec, folder: Path) -> None:
    codes = draw(30)
    assert load_decoder(encodec, None) is encodec
    choice: Any = {"folder": str(folder), "sha256": sha256(folder / WEIGHTS), "reason": "a test"}
    decoder = load_decoder(encodec, choice)
    assert isinstance(decoder, VocosDecoder)
    assert decoder.decode(codes).shape == encodec.decode(codes).shape
    assert (decoder.decode(codes) != encodec.decode(codes)).mean() > 0.9
    for k in range(8):
        assert (decoder.entries(k) == encodec.entries(k)).all()


def test_weights_that_were_replaced(encodec: EncodecCodec, own: Path) -> None:
    choice: Any = {"folder": str(own), "sha256": sha256(own / WEIGHTS), "reason": "a test"}
    state = torch.load(own / WEIGHTS, weights_only=True)
    torch.save(state | {CODEBOOKS: state[CODEBOOKS].roll(1, 0)}, own / WEIGHTS)
    with pytest.raises(ValueError, match=r"for which decoder\.json was written. Remove both"):
        load_decoder(encodec, choice)
    choice["sha256"] = sha256(own / WEIGHTS)
    with pytest.raises(ValueError, match="is for other codebooks than those of this codec"):
        load_decoder(encodec, choice)
    (own / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="Remove both"):
        load_decoder(encodec, choice)


def test_read_config_gives_what_the_model_is_built_with(folder: Path) -> None:
    assert read_config(folder / CONFIG) == PUBLISHED_CONFIG
