"""A model's folder that speaks: voices, prompts, what it can and cannot say."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from revoice.model.generate import synthesize
from revoice.model.prompts import write_preset
from revoice.speaking.pieces import Piece, Span
from revoice.speaking.talker import Talker


def piece(text: str, language: str = "en") -> Piece:
    return Piece((Span(text, language),), 0.0)


def test_a_folder_is_all_that_it_takes(talker: Talker) -> None:
    assert talker.languages == ["en"]
    assert [voice.name for voice in talker.voices] == ["heart", "heart_0.84", "heart_1.2"]
    assert talker.config.prompted == "nar", "as it lies with the model"
    assert talker.config.best_of == 1, "unless another value is given"
    prompt = talker.voice()
    assert len(prompt.ids) == len(prompt.lasting or ())
    assert sum(prompt.lasting or ()) == len(prompt.codes) == 114


def test_it_speaks(talker: Talker) -> None:
    request = talker.request(piece("Where is the nearest station?"), talker.voice(), (1,))
    (spoken,) = synthesize(talker.ar, talker.nar, [request], talker.sampling, ar_prompts=False)
    samples = talker.sound(spoken.codes)
    assert spoken.ended
    assert 0.8 < len(samples) / talker.codec.sample_rate < 3
    assert 0.05 < np.abs(samples).max() <= 1


def test_faster_is_shorter(talker: Talker) -> None:
    frames = []
    for speed in (1.0, 2.0):
        request = talker.request(piece("Where is the station?"), talker.voice(), (1,), speed)
        how = (talker.ar, talker.nar, [request], talker.sampling)
        frames.append(len(synthesize(*how, ar_prompts=False)[0].codes))
    assert 1.5 < frames[0] / frames[1] < 2.7


def test_voices(talker: Talker, tmp_path: Path) -> None:
    write_preset(tmp_path / "mine.npz", talker.voice("heart_1.2"), talker.origin)
    mine = talker.voice(str(tmp_path / "mine.npz"))
    np.testing.assert_array_equal(mine.codes, talker.prompts["heart_1.2"].codes)
    with pytest.raises(ValueError, match=r"no voice 'bob'; its voices: heart, heart_0.84"):
        talker.voice("bob")
    with pytest.raises(FileNotFoundError):
        talker.voice(str(tmp_path / "none.npz"))
    write_preset(tmp_path / "theirs.npz", mine, replace(talker.origin, codec="another"))
    with pytest.raises(ValueError, match=r"theirs.npz was made with another codec"):
        talker.voice(str(tmp_path / "theirs.npz"))


def test_marks_that_it_lacks_are_others(talker: Talker) -> None:
    known = set(talker.tokenizer.symbols)
    assert "¡" not in known
    odd, plain = (
        talker.request(piece(text), talker.voice(), (1,))
        for text in ("Yes¡ she said: “no” — (or not)…", "Yes. she said, no, or not.")
    )
    assert set(odd.ids) <= set(range(len(known)))
    marks = {talker.tokenizer.symbols.index(mark) for mark in ",.:;?!-"}
    assert [i for i in odd.ids if i not in marks] == [i for i in plain.ids if i not in marks]


def test_a_few_sounds_may_be_lacking(talker: Talker, caplog: pytest.LogCaptureFixture) -> None:
    lacking = replace_symbol(talker, "θ")
    long = piece("I think that nothing of this is what we wanted to have for breakfast today.")
    with caplog.at_level(logging.WARNING):
        assert lacking.request(long, lacking.voice("heart_0.84"), (1,)).ids
    assert "lacks θ" in caplog.text
    with pytest.raises(ValueError, match=r"'Thirty thousand thieves' \(en\) has sounds .* θ"):
        lacking.request(piece("Thirty thousand thieves"), lacking.voice("heart_0.84"), (1,))


def replace_symbol(talker: Talker, symbol: str) -> Talker:
    """A model that never read a symbol."""
    symbols = [f"no {symbol}" if s == symbol else s for s in talker.tokenizer.symbols]
    tokenizer = type(talker.tokenizer)(symbols, sentences=True)
    return replace(talker, tokenizer=tokenizer)


@pytest.mark.parametrize("text", ["", "...", "— ! —", "\n"])
def test_nothing_to_say(talker: Talker, text: str) -> None:
    with pytest.raises(ValueError, match="there is nothing to say in it"):
        talker.request(piece(text), talker.voice(), (1,))


def test_a_recording_is_a_prompt(talker: Talker, base: Path) -> None:
    samples, _ = soundfile.read(base / "voices" / "heart.wav", dtype="float32")
    text = (base / "voices" / "heart.txt").read_text("utf-8")
    prompt = talker.prompt_of(samples, text, "en", "heart.wav")
    assert prompt.ids == talker.voice().ids
    assert abs(len(prompt.codes) - len(talker.voice().codes)) < 20
    with pytest.raises(ValueError, match=r"heart.wav has 0.0 s of sound: a prompt has 1 to 30"):
        talker.prompt_of(np.zeros(72000, np.float32), text, "en", "heart.wav")
    with pytest.raises(ValueError, match=r"heart.wav has [\d.]+ s of sound"):
        talker.prompt_of(np.tile(samples, 12), text, "en", "heart.wav")
    with pytest.raises(ValueError, match=r"heart.wav \(en\): there is nothing to say"):
        talker.prompt_of(samples, " - ", "en", "heart.wav")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.json", "tokenizer.json", "codec.json"]
)
def test_a_folder_that_is_not_whole(base: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(base, tmp_path / "voice")
    (tmp_path / "voice" / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"not a model's folder: there is no {name}"):
        Talker.load(tmp_path / "voice", "cpu")


def test_parts_of_two_models(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "voice")
    path = tmp_path / "voice" / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    stored["symbols"][-1] += "x"
    path.write_text(json.dumps(stored), "utf-8")
    with pytest.raises(ValueError, match="another symbol table"):
        Talker.load(tmp_path / "voice", "cpu")


def test_without_voices_it_speaks_in_its_own(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(base, tmp_path / "voice", ignore=shutil.ignore_patterns("voices"))
    talker = Talker.load(tmp_path / "voice", "cpu")
    prompt = talker.voice()
    assert "has no voices" in caplog.text
    request = talker.request(piece("Good morning."), prompt, (1,))
    (spoken,) = synthesize(talker.ar, talker.nar, [request], talker.sampling)
    assert len(spoken.codes) > 10


def test_an_accent_needs_a_model_that_knows_languages(talker: Talker) -> None:
    with pytest.raises(ValueError, match="accent"):
        talker.request(piece("Good morning."), talker.voice(), (1,), accent="fr")


def test_keys_that_are_wrong(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"base: synthesis.temperature = 'hot': Input should be a"):
        Talker.load(base, "cpu", {"temperature": "hot"})
    shutil.copytree(base, tmp_path / "voice")
    path = tmp_path / "voice" / "voices" / "voices.json"
    path.write_text(path.read_text("utf-8").replace('"top_k"', '"top_q"'), "utf-8")
    message = r"voices.json: synthesis.top_q is not a key here. Did you mean top_p or top_k"
    with pytest.raises(ValueError, match=message):
        Talker.load(tmp_path / "voice", "cpu")
