"""Downloads, against a server of our own that breaks off, refuses or sends something else."""

import hashlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from revoice.download import BLOCK, DownloadError, download, read_published
from revoice.files import sha256

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """How the server answers, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    status: int | None = None
    cut_after: list[int] = field(default_factory=list)  # bytes before each answer breaks off
    stall_after: list[int] = field(default_factory=list)  # bytes before each answer stands still
    released: Event = field(default_factory=Event)  # those that stand still may end
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@dataclass
class Server:
    url: str
    behaviour: Behaviour


@pytest.fixture
def server() -> Iterator[Server]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.status:
                self.send_error(behaviour.status)
                return
            start = 0
            same = self.headers.get("If-Range") in (None, behaviour.etag)
            if wanted and behaviour.ranges and same:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(behaviour.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(behaviour.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if start:
                size = len(behaviour.content)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.cut_after:
                body = body[: behaviour.cut_after.pop(0)]
                self.close_connection = True
            if behaviour.stall_after:
                self.wfile.write(body[: behaviour.stall_after.pop(0)])
                behaviour.released.wait()
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield Server(f"http://127.0.0.1:{httpd.server_address[1]}/weights.pt", behaviour)
    behaviour.released.set()
    httpd.shutdown()
    httpd.server_close()


def fetch(server: Server, path: Path, expected: str | None = DIGEST, attempts: int = 5) -> str:
    return download(server.url, path, expected, attempts=attempts, wait=0.001, timeout=5)


def test_good_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "weights.pt"
    assert fetch(server, path) == DIGEST
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["weights.pt"]


def test_first_digits_suffice(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "weights.pt", DIGEST[:8].upper()) == DIGEST


@pytest.mark.parametrize("etag", ['"one"', None])
def test_truncated_transfer_is_resumed(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.behaviour.etag = etag
    server.behaviour.cut_after = [4 * BLOCK, 8 * BLOCK]
    fetch(server, tmp_path / "weights.pt")
    assert server.behaviour.asked == [None, f"bytes={4 * BLOCK}-", f"bytes={12 * BLOCK}-"]
    assert sha256(tmp_path / "weights.pt") == DIGEST


def test_a_transfer_that_stands_still_is_given_up_and_resumed(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.behaviour.stall_after = [4 * BLOCK, 0]
    path = tmp_path / "weights.pt"
    download(server.url, path, DIGEST, attempts=5, wait=0.001, timeout=0.3)
    assert server.behaviour.asked == [None, *[f"bytes={4 * BLOCK}-"] * 2]
    assert path.read_bytes() == CONTENT
    assert caplog.text.count("the server does not answer in time") == 2


def test_resumed_by_the_next_call(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    server.behaviour.cut_after = [4 * BLOCK]
    with pytest.raises(DownloadError, match=r"stays in .*weights\.pt\.part and is continued"):
        fetch(server, path, attempts=1)
    assert not path.exists()
    fetch(server, path)
    assert server.behaviour.asked == [None, f"bytes={4 * BLOCK}-"]
    assert path.read_bytes() == CONTENT


def test_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.behaviour.ranges = False
    server.behaviour.cut_after = [4 * BLOCK]
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_file_that_changed_between_is_not_pieced_together(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    server.behaviour.cut_after = [4 * BLOCK]
    with pytest.raises(DownloadError):
        fetch(server, path, expected=None, attempts=1)
    server.behaviour.content, server.behaviour.etag = CONTENT[::-1], '"two"'
    fetch(server, path, expected=None)
    assert path.read_bytes() == CONTENT[::-1]


def test_neither_digest_nor_etag_starts_anew(server: Server, tmp_path: Path) -> None:
    server.behaviour.etag = None
    server.behaviour.cut_after = [4 * BLOCK]
    fetch(server, tmp_path / "weights.pt", expected=None)
    assert server.behaviour.asked == [None, None]


def test_part_that_is_whole_already(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    server.behaviour.cut_after = [4 * BLOCK]
    with pytest.raises(DownloadError):
        fetch(server, path, attempts=1)
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    assert fetch(server, path) == DIGEST
    assert server.behaviour.asked[-1] == f"bytes={len(CONTENT)}-"


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with pytest.raises(DownloadError) as caught:
        fetch(server, path, "0" * 64)
    assert list(tmp_path.iterdir()) == []
    for part in (DIGEST, "0" * 64, str(path), server.url):
        assert part in str(caught.value)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 3)])
def test_refusal(server: Server, tmp_path: Path, status: int, requests: int) -> None:
    server.behaviour.status = status
    path = tmp_path / "weights.pt"
    with pytest.raises(DownloadError, match=rf"answers {status}") as caught:
        fetch(server, path, attempts=3)
    assert str(path) in str(caught.value)
    assert DIGEST in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(server.behaviour.asked) == requests


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "weights.pt"
    with pytest.raises(DownloadError, match=rf"no connection to 127\.0\.0\.1:{port}") as caught:
        download(f"http://127.0.0.1:{port}/x", path, DIGEST, attempts=2, wait=0.001, timeout=5)
    assert f"put it at {path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_file_put_there_by_hand(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(CONTENT)
    assert fetch(server, path) == DIGEST
    path.write_bytes(b"something else")
    with pytest.raises(DownloadError, match="not the file that it should be"):
        fetch(server, path)
    assert path.read_bytes() == b"something else"
    assert server.behaviour.asked == []


def test_unknown_digest_is_said(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert fetch(server, tmp_path / "weights.pt", expected=None) == DIGEST
    assert DIGEST in caplog.text


@pytest.mark.parametrize("name", ["vallex", "encodec_24khz"])
def test_published_weights(name: str) -> None:
    weights = read_published(name)
    assert weights.url.startswith("https://")
    assert len(weights.sha256) in {0, 64}


def test_encodec_digest_is_the_one_in_its_name() -> None:
    weights = read_published("encodec_24khz")
    assert weights.sha256[:8] == weights.url.removesuffix(".th")[-8:]


def test_unknown_weights() -> None:
    with pytest.raises(ValueError, match="no weights 'nothing'; it has vallex"):
        read_published("nothing")
