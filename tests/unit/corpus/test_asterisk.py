"""The default corpus: its index without the audio, its two sources, its transcript lists."""

import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from revoice.corpus import asterisk
from revoice.corpus.asterisk import (
    VOICES,
    asterisk_index,
    fetch,
    match_transcripts,
    read_transcripts,
)
from revoice.files import sha256
from tests.helpers.asterisk_sums import format_sums

FILES = {
    "hello.g722": b"h" * 8000,
    "digits/1M.g722": b"1" * 4000,
    "beep.g722": b"b" * 800,
    "unwritten.g722": b"u" * 800,
    "core-sounds-en.txt": b"; A comment\n\nhello: Hello,  world.\ndigits/1m: one\n"
    b"beep: [a simple tone]\n",
}


@pytest.fixture
def small_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of four files in the place of the real one, and no apt-get in the search path."""
    sums = tmp_path / "sums"
    sums.mkdir()
    (sums / "en.sha256").write_text(format_sums("en", FILES))
    monkeypatch.setattr(asterisk, "SUMS", sums)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with the release tarball, and the tarball's path."""
    folder = tmp_path / "releases"
    folder.mkdir()
    tarball = folder / f"asterisk-core-sounds-en-g722-{asterisk.VERSION}.tar.gz"
    write_tarball(tarball, FILES)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *values: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", tarball
    httpd.shutdown()
    httpd.server_close()


def write_tarball(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def assert_laid_out(folder: Path) -> None:
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == {
        "hello.g722",
        "hello.txt",
        "digits/1M.g722",
        "digits/1M.txt",
        "README.txt",
    }
    assert (folder / "hello.txt").read_text() == "Hello, world.\n"
    assert (folder / "digits/1M.txt").read_text() == "one\n"
    assert "Allison Smith" in (folder / "README.txt").read_text()
    assert "by-sa/3.0" in (folder / "README.txt").read_text()
    for path, digest in asterisk_index("en"):
        assert sha256(folder / path) == digest


@pytest.mark.parametrize("language", VOICES)
def test_index_needs_no_audio(language: str) -> None:
    index = asterisk_index(language)
    assert index == sorted(set(index))
    assert len({digest for _, digest in index}) > 0.9 * len(index)
    assert all(re.fullmatch(r"[\w/-]+\.g722", path) for path, _ in index)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in index)
    assert not [path for path, _ in index if path.startswith(("silence/", "beep.", "tt-monkeys."))]


def test_unknown_language() -> None:
    with pytest.raises(ValueError, match="no language 'xx'; it has en, es, fr, it, ru"):
        asterisk_index("xx")


@pytest.mark.usefixtures("small_release")
def test_release_tarball(releases: tuple[str, Path], tmp_path: Path) -> None:
    record = fetch("en", tmp_path / "data" / "en", base_url=releases[0])
    assert_laid_out(tmp_path / "data" / "en")
    assert record["files"] == 2
    assert record["seconds"] == 1.5
    assert record["speaker"] == "allison"
    assert releases[1].name in record["source"]


@pytest.mark.usefixtures("small_release")
def test_fetching_again_replaces(releases: tuple[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "en"
    folder.mkdir(parents=True)
    (folder / "stale.g722").write_bytes(b"old")
    first = fetch("en", folder, base_url=releases[0])
    assert fetch("en", folder, base_url="http://127.0.0.1:9") == first
    assert_laid_out(folder)


@pytest.mark.usefixtures("small_release")
def test_changed_recording_is_refused(releases: tuple[str, Path], tmp_path: Path) -> None:
    write_tarball(releases[1], {**FILES, "hello.g722": b"H" * 8000})
    with pytest.raises(RuntimeError, match=r"1 of 5 files have another SHA-256.*hello\.g722"):
        fetch("en", tmp_path / "data" / "en", base_url=releases[0])
    assert not (tmp_path / "data" / "en").exists()


@pytest.mark.usefixtures("small_release")
def test_missing_recording_is_refused(releases: tuple[str, Path], tmp_path: Path) -> None:
    write_tarball(releases[1], {name: FILES[name] for name in FILES if name != "beep.g722"})
    with pytest.raises(RuntimeError, match=r"1 of 5 files are missing.*beep\.g722"):
        fetch("en", tmp_path / "data" / "en", base_url=releases[0])


@pytest.mark.usefixtures("small_release")
def test_no_source_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revoice.download.time.sleep", lambda seconds: None)
    with pytest.raises(RuntimeError) as caught:
        fetch("en", tmp_path / "data" / "en", base_url="http://127.0.0.1:9/sounds/")
    message = str(caught.value)
    assert "apt-get" in message
    assert "no connection to 127.0.0.1:9" in message
    assert f"put it at {tmp_path / 'data'}/asterisk-core-sounds-en-g722" in message
    assert not (tmp_path / "data" / "en").exists()


@pytest.mark.usefixtures("small_release")
def test_packages_with_lists_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apt-get that knows no package until lists were updated into another folder."""
    share = tmp_path / "package" / "usr" / "share"
    for name, content in FILES.items():
        if name.endswith(".txt"):
            path = share / "doc" / "asterisk-core-sounds-en" / f"{name}.gz"
            content = gzip.compress(content)
        else:
            path = share / "asterisk" / "sounds" / "en_US_f_Allison" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    programs = {
        "apt-get": """
            for word; do case "$word" in Dir::State::lists=*) lists="${word#*=}" ;; esac; done
            case "$*" in
            *update*) touch "$lists/updated" ;;
            *) [ -n "$lists" ] && [ -e "$lists/updated" ] || { echo E: no lists >&2; exit 100; }
               touch asterisk-core-sounds-en_9_all.deb asterisk-core-sounds-en-g722_9_all.deb ;;
            esac""",
        "dpkg-deb": f'mkdir -p "$3" && cp -r "{tmp_path}/package/usr" "$3"',
    }
    for name, script in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        program.chmod(0o755)
    record = fetch("en", tmp_path / "data" / "en", base_url="http://127.0.0.1:9")
    assert_laid_out(tmp_path / "data" / "en")
    assert record["source"] == "Debian package asterisk-core-sounds-en-g722 9"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a: Please wait.", "Please wait."),
        ("a: three: two", "three: two"),
        ("a: ... to  leave...", "... to leave..."),
        ('a: Pour quitter..."', "Pour quitter..."),
        ("a: at [@]", "at"),
        ("a: space [ ]", "space"),
        ("a: [!] punto esclamativo", "punto esclamativo"),
        ("a: Vraiment ? Oui", "Vraiment ? Oui"),
        ("a: [sound of monkeys]", None),
        ("a: <beep ascending>", None),
        ("a: (1 second of silence)", None),
        ("a: The [new] message", None),
        ("a: Pour (emphase)", None),
        ("a: press * to stop", None),
        ("a: Se questo ? corretto", None),
        ("a: spoken. conf-mute-in: another", None),
        ("a: ...", None),
        ("a:", None),
        ("; a: comment", None),
        ("no colon", None),
    ],
)
def test_transcript_line(line: str, text: str | None) -> None:
    assert read_transcripts(f"\ufeff; Heading\n\n{line}\n") == ({} if text is None else {"a": text})


def test_first_of_two_texts_counts() -> None:
    assert read_transcripts("digits/0: zero\ndigits/0: ten\n") == {"digits/0": "zero"}


def test_names_match_in_either_case() -> None:
    texts = {"letters/O": "o", "a": "small", "A": "capital", "absent": "nobody"}
    assert match_transcripts(["letters/o", "a", "A", "mute"], texts) == {
        "A": "capital",
        "a": "small",
        "letters/o": "o",
    }


def test_text_too_long_for_its_recording() -> None:
    files = {"a.g722": b"a" * 800, "core-sounds-en.txt": b"a: a whole sentence in a tenth second"}
    assert "# speech\n# not speech" in format_sums("en", files)
