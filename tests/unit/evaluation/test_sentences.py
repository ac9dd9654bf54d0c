"""What the model is asked to say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from revoice.evaluation.scoring import COLUMNS, KINDS
from revoice.evaluation.sentences import (
    Utterance,
    choose_utterances,
    request_of,
    write_spoken,
)
from revoice.model.generate import Synthesis
from revoice.text import EspeakTokenizer, VallexTokenizer
from tests.helpers.synthetic import write_cuts


@pytest.fixture
def cuts(tmp_path: Path) -> list:
    return list(CutSet.from_file(write_cuts(tmp_path / "cuts", 12)))


def test_prompts_are_of_the_same_speaker(cuts: list) -> None:
    utterances = choose_utterances(cuts[:4], cuts[4:], 3, ["One more."], 0.3, seed=1)
    assert len(utterances) == 4
    for utterance in utterances:
        said = utterance.prompt.supervisions[0]
        assert said.speaker == utterance.speaker
        assert utterance.prompt in cuts[4:]
        assert utterance.prompt.duration >= 0.3
    assert utterances[-1].cut is None
    assert utterances == choose_utterances(cuts[:4], cuts[4:], 3, ["One more."], 0.3, seed=1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_prompt_and_utterance_are_one_text(cuts: list, wrapped: bool) -> None:
    (utterance, further) = choose_utterances(cuts[:1], cuts[1:], 1, ["so so"], 0.3, seed=1)
    tokenizer = EspeakTokenizer.build([("so so", "en")])
    tokenizer = EspeakTokenizer(tokenizer.symbols, wrapped)
    bos, eos = ([1], [2]) if wrapped else ([], [])
    between = list(tokenizer.separator)
    prompt = utterance.prompt.supervisions[0].tokens
    request = request_of(utterance, tokenizer)
    assert request.prompt.ids == [*bos, *prompt]
    assert request.ids == [*between, *utterance.cut.supervisions[0].tokens, *eos]
    lasting = utterance.prompt.supervisions[0].frames
    assert request.prompt.lasting == [*[0] * len(bos), *lasting]
    utterance.prompt.supervisions[0].custom.pop("frames")
    assert request_of(utterance, tokenizer).prompt.lasting is None
    assert request_of(further, tokenizer).ids == [*between, *tokenizer("so so", "en").ids, *eos]
    for ids, languages in [
        (request.ids, request.languages),
        (request.prompt.ids, request.prompt.languages),
    ]:
        assert len(ids) == len(languages)


def test_an_extra_sentence_must_have_a_sound(cuts: list) -> None:
    utterance = Utterance("extra-1", '"', "en", "me", cuts[0])
    with pytest.raises(ValueError, match=r"synthesis\.extra: .* nothing of the text can be spoken"):
        request_of(utterance, VallexTokenizer())
    espeak = EspeakTokenizer.build([("well!", "en")])
    with pytest.raises(ValueError, match=r"synthesis\.extra: .* nothing of the text can be spoken"):
        request_of(replace(utterance, text="!"), espeak)
    with pytest.raises(ValueError, match=r"synthesis\.extra: 'quick' .* the training texts lack"):
        request_of(replace(utterance, text="quick"), espeak)
    assert request_of(replace(utterance, text="well"), VallexTokenizer()).ids


class Clicks:
    """A codec that makes a sample of each frame."""

    sample_rate = 24000

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.full(len(codes), 0.5, np.float32)


def test_what_is_spoken_is_written(
    cuts: list, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    utterances = choose_utterances(cuts[:2], cuts[2:], 2, ["so so"], 0.3, seed=1)
    frames, ended = {3: [7, 5, 0], 4: [4, 0, 6]}, [True, False, True]
    spoken = {
        seed: [
            Synthesis(np.zeros((n, 8), np.int16), end, -1.0)
            for n, end in zip(lengths, ended, strict=True)
        ]
        for seed, lengths in frames.items()
    }
    table = write_spoken(tmp_path / "spoken", utterances, spoken, Clicks())
    assert {*COLUMNS, "seed", "ended", "frames"} == set(table.columns)
    assert table["seed"].tolist() == [3, 4] * 3
    assert table["id"].tolist() == [name for u in utterances for name in (u.id, u.id)]
    assert table["frames"].tolist() == [7, 4, 5, 0, 0, 6]
    assert table["ended"].tolist() == [end for end in ended for _ in frames]
    assert table[[*KINDS]].notna().sum().tolist() == [4, 4, 4]
    first, again, second, *_ = table.to_dict("records")
    assert len(soundfile.read(first["synthesis"])[0]) == 7
    assert first["synthesis"].endswith(f"/{utterances[0].id}.wav")
    assert len(soundfile.read(again["synthesis"])[0]) == 4
    assert again["synthesis"].endswith(f"/{utterances[0].id}-seed4.wav")
    assert again["reconstruction"] == first["reconstruction"]
    assert len(soundfile.read(second["reconstruction"])[0]) == len(cuts[1].load_codes())
    assert first["recording"] == "none.wav"
    assert len(list((tmp_path / "spoken").iterdir())) == 2 + 4
    assert f"{utterances[1].id}: no EOS within 5 frames" in caplog.text
    assert "extra-1: EOS at the first step" in caplog.text
