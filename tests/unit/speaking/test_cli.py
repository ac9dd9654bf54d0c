"""`revoice speak` as it is typed: texts, files, formats, what is said of faults."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from revoice.speaking import cli, telling
from revoice.speaking.cli import main

FAST = ["--best-of", "1", "--quiet", "--device", "cpu"]


@pytest.fixture
def speak(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return lambda *more: main(["speak", "--model", str(base), *FAST, *more])


def test_a_text_to_a_file(speak, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert speak("Good morning.", "--out", "said/hello.flac", "--json") == 0
    samples, rate = soundfile.read(tmp_path / "said" / "hello.flac")
    (done,) = json.loads(capsys.readouterr().out)
    assert done["seconds"] == pytest.approx(len(samples) / rate, abs=0.01)
    assert done["pieces"][0]["text"] == "Good morning."
    assert 0.3 < done["seconds"] < 2


def test_the_same_again_and_another_seed(speak, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert speak("Good morning.", "--out", f"{name}.wav", "--seed", seed) == 0
    one, same, other = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in "abc")
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_standard_input_and_the_default_file(
    speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO("\ufeffGood morning.\r\n".encode()))
    monkeypatch.setattr(sys, "stdin", given)
    assert speak() == 0
    assert soundfile.info(str(tmp_path / "speech.wav")).duration > 0.3


def test_lines_are_files(speak, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Yes.\n\n  \nNo, thank you.\n", "utf-8")
    assert speak("--file", "lines.txt", "--lines", "--out", "said", "--format", "ogg") == 0
    assert sorted(path.name for path in (tmp_path / "said").iterdir()) == ["001.ogg", "004.ogg"]


def test_a_preset_says_the_same_as_its_recording(speak, base: Path, tmp_path: Path) -> None:
    wav, said = base / "voices" / "heart.wav", (base / "voices" / "heart.txt").read_text("utf-8")
    made = ["--prompt", str(wav), "--prompt-text", said, "--save-voice", "mine.npz"]
    assert speak("It is late.", *made, "--out", "a.wav") == 0
    assert speak("It is late.", "--voice", "mine.npz", "--out", "b.wav") == 0
    one, other = (soundfile.read(tmp_path / name)[0] for name in ("a.wav", "b.wav"))
    np.testing.assert_array_equal(one, other)


def test_who_listens_tells_what_a_prompt_says(
    speak, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    heard: list = []

    def hear(samples: np.ndarray, rate: int, language: str) -> str:
        heard.append((len(samples) / rate, language))
        return "Missus Price was greatly obliged"

    monkeypatch.setattr(cli, "choose_listener", lambda name, data: hear)
    assert speak("It is late.", "--prompt", str(base / "voices" / "heart.wav")) == 0
    assert heard == [(pytest.approx(3.03), "en")]
    assert "heard 'Missus Price" in capsys.readouterr().err


def test_interrupted_and_gone_on_with(
    speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = " ".join(f"This is sentence number {number}, a long one at that." for number in range(9))
    spoken: list[int] = []
    real = telling.synthesize

    def interrupted(*given):
        if len(spoken) == 2:
            raise KeyboardInterrupt
        spoken.append(len(given[2]))
        return real(*given)

    monkeypatch.setattr(telling, "synthesize", interrupted)
    assert speak(text, "--out", "a.wav", "--batch", "1") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "a.wav").exists()
    counted: list[int] = []
    monkeypatch.setattr(
        telling, "synthesize", lambda *given: (counted.append(len(given[2])), real(*given))[1]
    )
    assert speak(text, "--out", "a.wav", "--batch", "1") == 0
    monkeypatch.setattr(telling, "synthesize", real)
    assert speak(text, "--out", "b.wav", "--batch", "1") == 0
    one, other = (soundfile.read(tmp_path / name)[0] for name in ("a.wav", "b.wav"))
    np.testing.assert_array_equal(one, other)
    assert 1 <= len(counted) < len(spoken) + len(counted), "what was told is taken"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["привет"], "Cyrillic"),
        (["hello", "--language", "fr"], "fr"),
        (["hello", "--voice", "bob"], "its voices: heart"),
        (["hello", "--voice", "heart", "--prompt", "x.wav"], "two voices"),
        (["hello", "--prompt", "x.wav", "--prompt-text", "x"], "x.wav does not exist"),
        (["hello", "--file", "x.txt"], "leave out one"),
        (["--file", "x.txt"], "x.txt"),
        ([" "], "no text"),
        (["..."], "nothing"),
        (["hello", "--out", "x.doc"], ".wav, .flac, .mp3, .ogg"),
        (["hello", "--out", "-"], ".wav, .flac"),
        (["hello", "--prompt-text", "x"], "give it as --prompt"),
        (["hello", "--prompt", "x.wav", "--save-voice", "x"], "ends in .npz"),
        (["hello", "--verify", "--recognizer", "nonsense"], "neither base, pocketsphinx nor"),
        (["hello", "--seed", "-1"], "seed -1"),
        (["Yes.\n\nпривет\n", "--lines"], "line 3: (“привет”) is in Cyrillic"),
        (["hello", "--out", "x.wav", "--format", "mp3"], "--format says mp3"),
        (["hello", "--lines", "--out", "x.wav"], "must name a folder"),
        (["hello", "--speed", "9"], "0.25 to 4"),
        (["hello", "--accent", "fr"], "accent"),
        (["hello", "--temperature", "hot"], "synthesis.temperature"),
    ],
)
def test_faults(
    speak, given: list[str], message: str, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert speak(*given) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_voices(base: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["voices", "--model", str(base)]) == 0
    assert capsys.readouterr().out.startswith("heart: en, 3.0 s, DNSMOS 3.3")
