"""The published files of Vocos: fetched, and whether they are of the Vocos for EnCodec's codes."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import yaml

from revoice.download import DownloadError, download_files
from revoice.files import sha256

log = logging.getLogger(__name__)

NAME = "vocos-encodec-24khz"  # in resources/pretrained.yaml
CONFIG, WEIGHTS = "config.yaml", "pytorch_model.bin"
BANDWIDTHS = [1.5, 3.0, 6.0, 12.0]  # kbps; which one it is, the layer norms are told
# What makes it the one for EnCodec at 24 kHz, with its codes and frames; other sizes are free.
EXPECTED = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.EncodecFeatures",
        "init_args": {"encodec_model": "encodec_24khz", "bandwidths": BANDWIDTHS},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 128, "adanorm_num_embeddings": len(BANDWIDTHS)},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"n_fft": 1280, "hop_length": 320, "padding": "same"},
    },
}


class Decoder(TypedDict):
    """What decoder.json holds: Vocos in `folder`; where that is None, the codec's own decoder."""

    describe: str  # as tables name it: "vocos (sha256 7e95bb26)"
    reason: str
    folder: str | None
    sha256: str | None  # of the weights


def choose_decoder(codec: Mapping[str, Any], published: str | Path, folder: str | Path) -> Decoder:
    """Vocos, fetched into `folder`, for EnCodec's codes; another codec decodes its own.

    Args:
        codec: which codec it has become: a choice.json.
        published: YAML that says where the weights are and what SHA-256 they have.

    Raises DownloadError and ValueError as `fetch_vocos` does.
    """
    if codec["name"] != "encodec_24khz":
        reason = f"the codec is {codec['name']} ({codec['reason']}), whose codes Vocos cannot read"
        log.warning("%s: it decodes them itself", reason)
        return Decoder(describe=codec["name"], reason=reason, folder=None, sha256=None)
    source = fetch_vocos(published, folder)
    digest = sha256(Path(folder, WEIGHTS))
    reason = f"as configured; its weights {source}"
    describe = f"vocos (sha256 {digest[:8]})"
    return Decoder(describe=describe, reason=reason, folder=Path(folder).as_posix(), sha256=digest)


def fetch_vocos(published: str | Path, folder: str | Path) -> str:
    """Bring config.yaml and pytorch_model.bin into `folder`; says where they came from.

    What is there already is verified and taken. Raises DownloadError, which says how to get them
    by hand and how to do without, and ValueError for a config.yaml of something else.
    """
    entry = yaml.safe_load(Path(published).read_text("utf-8"))[NAME]
    try:
        source = download_files(entry, Path(folder))
    except DownloadError as error:
        urls = [entry["url"].format(file=file, **entry) for file in entry["files"]]
        raise DownloadError(
            f"{error}\nVocos needs {' and '.join(urls)} in {Path(folder).resolve()}. EnCodec's own "
            "decoder needs neither: `synthesis: {decoder: encodec}`."
        ) from error
    read_config(Path(folder, CONFIG))
    return source


def read_config(path: str | Path) -> dict[str, Any]:
    """What a published config.yaml says of Vocos: feature_extractor, backbone and head.

    Raises ValueError where it is no YAML, or is not of the Vocos for EnCodec's codes at 24 kHz.
    """
    try:
        config = yaml.safe_load(Path(path).read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if wrong := list(_differences(config, EXPECTED)):
        raise ValueError(
            f"{path} does not describe the Vocos that decodes EnCodec at 24 kHz: "
            f"{'; '.join(wrong)}. Remove it, and run again."
        )
    return config


def _differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where values differ from those expected, in words."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            yield f"there is no section {where}" if where else "it is no YAML with sections"
            return
        for key, value in expected.items():
            yield from _differences(found.get(key), value, f"{where}.{key}".lstrip("."))
    elif found != expected:
        yield f"{where} is {found!r}, expected {expected!r}"
