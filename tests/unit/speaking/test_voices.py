"""Which recordings become a model's voices, and their files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from revoice.model.prompts import Origin
from revoice.speaking.voices import choose_voices, read_voices, write_voices

ORIGIN = Origin("tokens", "codes")


def cut(speaker: str, seconds: float, name: str = "", good: float = 3.0) -> Any:
    said = SimpleNamespace(
        speaker=speaker,
        text=f"{speaker} says {seconds:g}",
        language="en",
        tokens=[3, 4, 5],
        token_languages=["en"] * 3,
    )
    return SimpleNamespace(
        id=name or f"{speaker}-{seconds}",
        duration=seconds,
        supervisions=[said],
        sampling_rate=24000,
        load_audio=lambda: np.full((1, round(seconds * 24000)), 0.25, np.float32),
        load_codes=lambda: np.full((round(seconds * 75), 8), 7, np.int16),
        good=good,
    )


def choose(cuts: list, seed: int = 1) -> list[tuple[str, str]]:
    chosen = choose_voices(cuts, 3, seed, lambda cut: cut.good)
    return [(voice.name, cut.id) for voice, cut in chosen]


def test_the_best_of_those_who_speak_most() -> None:
    cuts = [cut("a", 1), cut("b", 4, good=2.0), cut("b", 5, good=3.5), cut("b", 3, good=3.0)]
    cuts += [cut("b", 6, good=1.0), cut("b", 9, good=5.0), cut("c", 2), cut("c", 2.5)]
    expected = [("b", "b-5"), ("b-2", "b-3"), ("b-3", "b-4"), ("c", "c-2.5"), ("c-2", "c-2")]
    assert choose(cuts) == [*expected, ("a", "a-1")], (
        "9 s is too long; where none fits, the longest"
    )
    assert choose(cuts[::-1]) == choose(cuts)


def test_many_recordings_are_drawn_from() -> None:
    many = [cut("a", 3 + i / 100, f"a{i}", good=3 + i / 1000) for i in range(100)]
    assert len({choose(many, seed)[0][1] for seed in range(20)}) > 3
    assert choose(many, 2) == choose(many, 2)


def test_at_most_eight_speakers() -> None:
    assert len(choose([cut(f"s{i}", 4) for i in range(20)])) == 8


def test_names_are_of_files() -> None:
    names = [name for name, _ in choose([cut("../x", 4), cut("_x", 3.5), cut("é/ü", 3.2)])]
    assert names == ["_x", "_x_", "___"]


def test_opinion_may_be_left_out() -> None:
    (voice, longest), *_ = choose_voices([cut("a", 3), cut("a", 4)], 3, 1, lambda cut: None)
    assert (voice.dnsmos, longest.id) == (None, "a-4")


def test_round_trip(tmp_path: Path) -> None:
    chosen = choose_voices([cut("am_michael+bf/emma", 3)], 3, 1, lambda cut: 3.25)
    write_voices(tmp_path / "voices", chosen, ["en", "fr"], {"top_k": 5}, ORIGIN, None)
    back = read_voices(tmp_path / "voices", ORIGIN)
    assert back is not None
    assert (back.languages, back.synthesis) == (["en", "fr"], {"top_k": 5})
    assert back.voices == [voice for voice, _ in chosen]
    prompt = back.prompts["am_michael+bf_emma"]
    assert (prompt.ids, prompt.languages, prompt.lasting) == ([3, 4, 5], ["en"] * 3, None)
    assert prompt.codes.shape == (225, 8)
    samples, rate = soundfile.read(tmp_path / "voices" / "am_michael+bf_emma.wav")
    assert (len(samples), rate) == (72000, 24000)
    text = (tmp_path / "voices" / "am_michael+bf_emma.txt").read_text("utf-8")
    assert text == "am_michael+bf/emma says 3\n"


def test_an_alignment_is_kept(tmp_path: Path) -> None:
    aligner: Any = SimpleNamespace(frames=lambda ids, codes: np.array([200, 20, 5]))
    chosen = choose_voices([cut("a", 3)], 3, 1, lambda cut: None)
    write_voices(tmp_path, chosen, ["en"], {}, ORIGIN, aligner)
    back = read_voices(tmp_path, ORIGIN)
    assert back is not None
    assert back.prompts["a"].lasting == [200, 20, 5]


def test_what_is_no_models_voices(tmp_path: Path) -> None:
    assert read_voices(tmp_path, ORIGIN) is None
    chosen = choose_voices([cut("a", 3)], 3, 1, lambda cut: None)
    write_voices(tmp_path, chosen, ["en"], {}, ORIGIN, None)
    with pytest.raises(ValueError, match=r"a\.npz was made with another tokenizer"):
        read_voices(tmp_path, Origin("others", "codes"))
    with pytest.raises(ValueError, match=r"a\.npz was made with another codec"):
        read_voices(tmp_path, Origin("tokens", "others"))
    path = tmp_path / "voices.json"
    text = path.read_text("utf-8")
    for bad in ("[]", "{", text.replace('"a"', '"../a"'), text.replace("seconds", "s")):
        path.write_text(bad, "utf-8")
        with pytest.raises(ValueError, match=r"voices\.json"):
            read_voices(tmp_path, ORIGIN)
