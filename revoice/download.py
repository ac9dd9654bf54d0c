"""Files from the internet: resumed where a transfer broke off, verified, whole or absent."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import yaml

from revoice.files import RESOURCES, read_json, sha256, write_json

log = logging.getLogger(__name__)

PUBLISHED = RESOURCES / "pretrained.yaml"
BLOCK = 1 << 16  # bytes; a transfer that breaks off loses less than one block


class DownloadError(RuntimeError):
    """A file could not be had; the message says why and where to put it by hand."""


class Published(NamedTuple):
    """Published weights: where they are, and their SHA-256 (empty: not known)."""

    url: str
    sha256: str


def read_published(name: str, path: str | Path = PUBLISHED) -> Published:
    """An entry of `resources/pretrained.yaml`, e.g. "vallex"; ValueError for an unknown name."""
    entries = yaml.safe_load(Path(path).read_text("utf-8"))
    if name not in entries:
        raise ValueError(f"{path} has no weights {name!r}; it has {', '.join(entries)}")
    return Published(**entries[name])


def download(
    url: str,
    path: str | Path,
    expected: str | None = None,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    wait: float = 1.0,
) -> str:
    """Fetch `url` to `path` unless it is there, and return its SHA-256.

    What has arrived is kept in `{path}.part` and continued by the next attempt or the next call.
    `path` itself appears only when the file is whole and verified.

    Args:
        expected: the file's SHA-256 in hexadecimal, or its first digits where no more is known;
            None or empty: whatever arrives is taken, and its digest logged.
        attempts: how often in a row the transfer may fail without one new byte.
        timeout: seconds to wait for a connection and for each further piece.
        wait: seconds before the second attempt, doubled for each further one.

    Raises DownloadError: the server refuses, cannot be reached, or sends something else.
    """
    path = Path(path)
    expected = (expected or "").lower()
    if path.exists():
        digest = sha256(path)
        if not digest.startswith(expected):
            raise DownloadError(
                f"{path} is there, but is not the file that it should be: its SHA-256 is {digest}, "
                f"expected {expected}. Remove it, or replace it with {url}."
            )
        log.info("%s is there already, SHA-256 %s", path, digest)
        return digest

    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _transfer(url, part, resumable=bool(expected), timeout=timeout)
            break
        except requests.RequestException as error:
            arrived = part.stat().st_size if part.exists() else 0
            failures = 1 if arrived > before else failures + 1
            if failures >= attempts or _refused(error):
                raise DownloadError(_instructions(url, path, expected, error, part)) from error
            log.warning("%s (%d bytes so far): trying again", _reason(error), arrived)
            time.sleep(wait * 2 ** (failures - 1))

    digest = sha256(part)
    if not digest.startswith(expected):
        _forget(part)
        problem = f"what arrived has the SHA-256 {digest}"
        raise DownloadError(_instructions(url, path, expected, problem, part))
    os.replace(part, path)
    _forget(part)
    if not expected:
        log.warning("%s: no SHA-256 is known to compare with; got %s", path, digest)
    return digest


def download_files(entry: Mapping[str, Any], folder: Path) -> str:
    """Fetch the files of an entry of `resources/pretrained.yaml` that has several into `folder`.

    The entry has `url`, in which {revision} and {file} stand, `revision`, and `files`: name to
    SHA-256. Returns where they came from, in words. Raises DownloadError as `download` does.
    """
    kept = all((folder / file).exists() for file in entry["files"])
    for file, digest in entry["files"].items():
        url = entry["url"].format(revision=entry["revision"], file=file)
        # One more attempt, and no long wait: without a network the answer must come soon.
        download(url, folder / file, digest, attempts=2, timeout=10)
    return "were there already" if kept else f"came from {url.rpartition('/')[0]}"


def _transfer(url: str, part: Path, resumable: bool, timeout: float) -> None:
    """Append to `part` until the file is whole; requests.RequestException where that fails.

    A server's own word that the file is still the same (ETag, Last-Modified) is kept beside
    `part`. Without it a transfer is only continued if the result will be verified.
    """
    note = part.with_name(part.name + ".json")
    origin = read_json(note) if note.exists() else {}
    offset = part.stat().st_size if part.exists() else 0
    validator = origin.get("validator")
    headers = {"Accept-Encoding": "identity"}
    if offset and origin.get("url") == url and (validator or resumable):
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator

    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        sent = response.headers.get("Content-Range", "")
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if sent == f"bytes */{offset}":
                return  # it was whole already
            _forget(part)
            raise requests.ConnectionError("the server does not have that part of the file")
        response.raise_for_status()
        continued = response.status_code == requests.codes.partial_content
        if continued and not sent.startswith(f"bytes {offset}-"):
            _forget(part)
            raise requests.ConnectionError("the server sent another part of the file than asked")
        if not continued:
            write_json(note, {"url": url, "validator": _validator(response)})
        with open(part, "ab" if continued else "wb") as file:
            received = sum(file.write(block) for block in response.iter_content(BLOCK))
        length = response.headers.get("Content-Length")
        if length is not None and received != int(length):
            raise requests.ConnectionError(f"{received} of {length} bytes arrived")


def _validator(response: requests.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if etag.startswith("W/") else etag


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def _refused(error: requests.RequestException) -> bool:
    """Whether the server's answer will be the same next time."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return True
    status = getattr(error.response, "status_code", 0)
    return 400 <= status < 500 and status not in {408, 425, 429}


def _reason(error: requests.RequestException | str) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):  # in the middle
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError) and error.request is not None:
        return f"no connection to {urlsplit(str(error.request.url)).netloc}"
    return str(error)


def _instructions(
    url: str, path: Path, expected: str, error: requests.RequestException | str, part: Path
) -> str:
    kept = f"\nWhat has arrived stays in {part} and is continued next time." * part.exists()
    digest = f" (SHA-256 {expected}{'...' * (len(expected) < 64)})" if expected else ""
    return (
        f"{path} could not be downloaded: {_reason(error)}.\n"
        f"Get {url} in another way, put it at {path.resolve()}{digest} and run again.{kept}"
    )
