"""Packages are verified and read where they lie; nothing is installed."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from revoice.download import DownloadError
from revoice.files import sha256
from revoice.packages import fetch_package
from revoice.synthetic.packages import read_deb, read_pins, read_wheel


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, content: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)


def test_a_debian_package_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    data = archive({"./usr/share/one.txt": b"one", "./usr/share/two.bin": b"two"})
    path.write_bytes(b"!<arch>\n" + member("debian-binary", b"2.0") + member("data.tar.xz", data))
    assert read_deb(path, ".txt") == {"usr/share/one.txt": b"one"}
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not a Debian package"):
        read_deb(path, ".txt")


def test_a_file_put_there_by_hand_is_taken_if_it_is_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("thing/data.txt", "data")
    given = ("pip", "thing", "1.0", sha256(path), path.name, tmp_path)
    assert fetch_package(*given) == path  # type: ignore[arg-type]
    assert read_wheel(path, "thing/data.txt") == b"data"
    path.write_bytes(b"broken")
    with pytest.raises(DownloadError, match=r"put it at .*thing-1.0.*run again"):
        fetch_package(*given)  # type: ignore[arg-type]


def test_every_package_is_pinned_with_its_licence() -> None:
    for group in ("texts", "kokoro", "hibari"):
        for package in read_pins(group):
            assert len(package.sha256) == 64, package
            assert package.licence, package
            assert package.version in package.file.replace("%3a", ":"), package
