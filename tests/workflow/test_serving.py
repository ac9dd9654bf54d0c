"""A server in a process of its own, and real clients: OpenAI's, curl, a browser, a fuzzer."""

import base64
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openai
import psutil
import pytest
import soundfile

from benchmarks.serving import serving as started
from tests.conftest import ROOT
from tests.helpers.browser import opened

BASE = ROOT / "resources/base"
QUICK = ("--best-of", "1", "--weights", "fp32")
SPEECH = "v1/audio/speech"
SHORT = "Good morning to you."
LONG = " ".join(f"Sentence number {n} is not the last one." for n in range(100))
MEMORY = 400e6  # bytes more, of 50 who are served at once


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    address: str  # with a slash
    log: Path

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}health", timeout=60) as answer:
            return json.load(answer)

    def idle(self) -> bool:
        health = self.health()
        return (health["requests"], health["pieces"]) == (0, 0)


@contextmanager
def serving(log: Path, *options: str) -> Iterator[Served]:
    with log.open("w") as file:
        try:
            with started(BASE, *QUICK, "--verbose", *options, log=file) as (address, process):
                yield Served(process, address, log)
        except RuntimeError as error:
            raise AssertionError(log.read_text()) from error


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server") / "log") as served:
        yield served
    log = served.log.read_text()
    assert "Traceback" not in log, log


@pytest.fixture
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.address}v1", api_key="none", max_retries=0)


def until(reached: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def curl(*arguments: str | Path) -> list[str]:
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    return ["curl", "--silent", "--show-error", *map(str, arguments)]


def asking(**asked: Any) -> tuple[str, ...]:
    return "--header", "Content-Type: application/json", "--data", json.dumps(asked)


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_openai_client(client: openai.OpenAI, kind: Any) -> None:
    how: dict[str, Any] = {"model": "base", "voice": "heart", "extra_body": {"seed": 1}}
    content = client.audio.speech.create(input=SHORT, response_format=kind, **how).content
    if kind == "pcm":
        seconds = len(content) / 48000
    elif kind == "aac":
        import av

        with av.open(io.BytesIO(content)) as file:
            seconds = sum(frame.samples for frame in file.decode(audio=0)) / 24000
    else:
        seconds = soundfile.info(io.BytesIO(content)).duration
    assert 0.8 < seconds < 3


def test_openai_client_streams_and_lists(client: openai.OpenAI, tmp_path: Path) -> None:
    assert [model.id for model in client.models.list()] == ["base"]
    text = f"{SHORT}\n\nThe end."
    speech = client.audio.speech.with_streaming_response.create
    with speech(model="base", voice="heart", input=text, response_format="wav") as response:
        response.stream_to_file(tmp_path / "speech.wav")
    assert soundfile.read(tmp_path / "speech.wav")[0].std() > 0.01
    with speech(
        model="base", voice="default", input=text, response_format="mp3", stream_format="sse"
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line]
    assert events[-1]["type"] == "speech.audio.done"
    sound = b"".join(base64.b64decode(each["audio"]) for each in events[:-1])
    assert soundfile.info(io.BytesIO(sound)).duration > 1


def test_openai_client_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="its voices: heart") as refused:
        client.audio.speech.create(model="base", voice="alloy", input=SHORT)
    assert (refused.value.param, refused.value.code) == ("voice", "unknown_voice")
    with pytest.raises(openai.NotFoundError, match="no model 'tts-1'"):
        client.audio.speech.create(model="tts-1", voice="heart", input=SHORT)
    with pytest.raises(openai.BadRequestError, match="at most 4096"):
        client.audio.speech.create(model="base", voice="heart", input="a" * 4097)


def test_curl_hears_the_first_piece_while_others_are_spoken(served: Served) -> None:
    address = f"{served.address}{SPEECH}"
    asked = asking(input=LONG[:200], response_format="pcm", seed=1)
    with subprocess.Popen(curl("--no-buffer", *asked, address), stdout=subprocess.PIPE) as process:
        assert process.stdout
        first = process.stdout.read(4800)
        assert served.health()["requests"] == 1, "it is not all spoken yet"
        rest = process.stdout.read()
    assert process.returncode == 0
    assert np.frombuffer(first, "<i2").std() > 100
    assert len(rest) > 10 * len(first)


def test_a_client_that_is_killed(served: Served) -> None:
    """What it waited for is given up, and the others do not notice."""
    address, asked = f"{served.address}{SPEECH}", asking(input=LONG, response_format="pcm")
    with subprocess.Popen(curl("--no-buffer", *asked, address), stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.read(4800)
        process.kill()
    until(served.idle)
    spoken = re.findall(rf"{len(LONG)} characters, ([\d.]+) s of speech", served.log.read_text())
    assert float(spoken[-1]) < 0.5 * 0.05 * len(LONG), "a character takes a twentieth of a second"
    done = subprocess.run(curl("--fail", *asking(input=SHORT), address), capture_output=True)
    assert done.returncode == 0, done.stderr


def of_many(number: int) -> dict[str, Any]:
    voice = ("heart", "heart_0.84", "heart_1.2")[number % 3]
    text = f"Number {number}." if number % 5 else f"Number {number}.\n\nAnd so on."
    return {"input": text, "voice": voice, "seed": number, "response_format": "wav"}


def test_fifty_at_once(served: Served, tmp_path: Path) -> None:
    """Each gets its own speech, to the last sample as if it were alone."""
    address = f"{served.address}{SPEECH}"
    before = psutil.Process(served.process.pid).memory_info().rss
    clients = []
    for first in range(0, 50, 10):
        lines = []
        for number in range(first, first + 10):
            lines += [f'url = "{address}"', f'output = "{tmp_path}/{number}.wav"', "fail"]
            lines += [f"data = {json.dumps(json.dumps(of_many(number)))}"]
            lines += ['header = "Content-Type: application/json"', "next"]
        config = tmp_path / f"{first}.curl"
        config.write_text("\n".join(lines[:-1]))
        command = curl("--parallel", "--parallel-immediate", "--config", config)
        clients.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    most = before
    while any(each.poll() is None for each in clients):
        most = max(most, psutil.Process(served.process.pid).memory_info().rss)
        time.sleep(0.1)
    for each in clients:
        assert each.returncode == 0, each.communicate()[1]
    assert most - before < MEMORY
    for number in range(50):
        alone = subprocess.run(
            curl("--fail", *asking(**of_many(number)), address), capture_output=True, check=True
        ).stdout
        assert (tmp_path / f"{number}.wav").read_bytes() == alone, number


def test_the_page(served: Served, tmp_path: Path) -> None:
    with opened(served.address, 360, 740) as tab:
        visit = tab.visit
        tab.get_by_label("Voice").select_option("heart_1.2")
        tab.get_by_label("Text").fill(f"{SHORT}\n\nThis is the end.")
        tab.get_by_role("button", name="Speak").click()
        tab.get_by_role("link", name="Download").wait_for()
        played = "() => document.querySelector('audio').currentTime > 0.5"
        tab.wait_for_function(played)
        player = tab.evaluate(
            "(({duration, error}) => ({duration, error}))(document.querySelector('audio'))"
        )
        assert player["error"] is None
        assert player["duration"] > 1.5
        took = tab.locator("dl").inner_text()
        assert "First sound after" in took
        assert re.search(r"Pieces\s+2", took), took
        with tab.expect_download() as download:
            tab.get_by_role("link", name="Download").click()
        download.value.save_as(tmp_path / "speech.mp3")
        assert abs(soundfile.info(tmp_path / "speech.mp3").duration - player["duration"]) < 0.2
        tab.get_by_label("Format").select_option("wav")
        tab.get_by_label("Seed").fill("7")
        tab.get_by_role("button", name="Speak").click()
        tab.locator("dd", has_text=re.compile("^7$")).wait_for()
        tab.wait_for_function(played)
        # Chromium says of a stream that a script has read to its end that it was left
        assert not [each for each in visit.complaints if not each.endswith("net::ERR_ABORTED")]
        tab.get_by_label("Text").fill("…")
        tab.get_by_role("button", name="Speak").click()
        tab.get_by_text("the text has nothing to say").wait_for()
        tab.get_by_label("Text").fill(LONG)
        tab.get_by_role("button", name="Speak").click()
        until(lambda: not served.idle())
        tab.get_by_role("button", name="Stop").click()
        until(served.idle)
        assert tab.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        hosts = (served.address, "blob:", "data:")
        assert all(each.startswith(hosts) for each in visit.requested), visit.requested


def test_a_fuzzer_finds_no_fault(served: Served, tmp_path: Path) -> None:
    """A thousand malformed requests, and a few that are well formed: every answer as described."""
    command = [Path(sys.executable).with_name("schemathesis"), "run"]
    command += [f"{served.address}openapi.json", "--seed", "1", "--no-color", "--warnings", "off"]
    command += ["--generation-database", "none", "--continue-on-failure", "--phases", "fuzzing"]
    # that a text has something to say is nothing that a schema can tell
    command += ["--exclude-checks", "positive_data_acceptance"]
    for mode, number in {"negative": "1000", "all": "5"}.items():
        how = ["--mode", mode, "--max-examples", number]
        done = subprocess.run([*command, *how], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:]
        assert mode == "all" or "1000 generated, 1000 passed" in done.stdout


def test_a_token_and_the_end(tmp_path: Path) -> None:
    """Open to other machines it needs a token; who is served when it ends is cut off in the end."""
    (tmp_path / "token").write_text("from-a-file\n")
    options = ("--host", "0.0.0.0", "--token-file", str(tmp_path / "token"))
    with serving(tmp_path / "log", *options) as served:
        address = served.address.replace("0.0.0.0", "127.0.0.1")
        base = f"{address}v1"
        with pytest.raises(openai.AuthenticationError, match="Give the server's token"):
            openai.OpenAI(base_url=base, api_key="another", max_retries=0).models.list()
        client = openai.OpenAI(base_url=base, api_key="from-a-file", max_retries=0)
        assert client.models.list().data[0].id == "base"
        with opened(address) as tab:
            tab.get_by_label("Token").fill("from-a-file")
            tab.get_by_label("Text").fill(SHORT)
            tab.get_by_role("button", name="Speak").click()
            tab.get_by_role("link", name="Download").wait_for()
        asked = ("--header", "Authorization: Bearer from-a-file", *asking(input=LONG))
        command = curl("--no-buffer", *asked, f"{address}{SPEECH}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
            assert waiting.stdout
            assert waiting.stdout.read(100)
            served.process.send_signal(signal.SIGINT)
            waiting.communicate(timeout=60)
            assert waiting.returncode == 18, "curl: the transfer is not whole"
        assert served.process.wait(30) == 0
