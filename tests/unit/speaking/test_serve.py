"""What the server is told when it starts, and when it does not."""

import argparse
import socket
from pathlib import Path

import pytest

from revoice.speaking.serve import TOKEN, _door, add_options, run

BASE = str(Path(__file__).resolve().parents[3] / "resources/base")


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(["--model", BASE, *arguments])


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    door = _door(options("--host", host))
    assert (door.token, door.addresses) == (None, False)
    assert {"localhost", "127.0.0.1", "::1"} <= door.names


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.168.1.7", "voice.example", ""])
def test_others_need_one(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(options("--host", host))
    assert ended.value.code == 2
    assert "lets other machines ask: give a token too" in capsys.readouterr().err
    assert _door(options("--host", host, "--token", "s3cret")).token == "s3cret"


def test_where_the_token_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("in-a-file\n")
    from_file = ("--token-file", str(tmp_path / "token"))
    assert _door(options(*from_file)).token == "in-a-file"
    monkeypatch.setenv(TOKEN, "of-the-environment")
    assert _door(options()).token == "of-the-environment"
    with pytest.raises(ValueError, match="more than once"):
        _door(options(*from_file))
    for bad in ("", "two words", "\u00fcber", "line\n"):
        monkeypatch.setenv(TOKEN, bad)
        with pytest.raises(ValueError, match="without spaces"):
            _door(options())


def test_names() -> None:
    door = _door(options("--host-name", "Voice.Example", "--host", "192.168.1.7", "--token", "a"))
    assert {"voice.example", "192.168.1.7", "localhost"} <= door.names
    assert not door.addresses
    assert _door(options("--host", "::", "--token", "a")).addresses


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--port", "70000"), "port 70000"),
        (("--host", "nowhere.invalid", "--token", "a"), "cannot listen on nowhere.invalid"),
        (("--token-file", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--queue", "0"), "above 0"),
        (("--timeout", "nan"), "above 0"),
    ],
)
def test_bad_options(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(options(*arguments))
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SystemExit) as ended:
        run(options("--port", str(other.getsockname()[1])))
    assert ended.value.code == 2
    assert "Address already in use" in capsys.readouterr().err


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    with pytest.raises(FileNotFoundError, match=r"not a model's folder"):
        run(parser.parse_args(["--model", str(tmp_path), "--port", "0"]))
