"""What the model is asked to say."""

from dataclasses import replace
from pathlib import Path

import pytest
from lhotse import CutSet

from revoice.evaluation.sentences import Sentence, choose_sentences, request_of
from revoice.text import EspeakTokenizer, VallexTokenizer
from tests.helpers.synthetic import write_cuts


@pytest.fixture
def cuts(tmp_path: Path) -> list:
    return list(CutSet.from_file(write_cuts(tmp_path / "cuts", 12)))


def test_prompts_are_of_the_same_speaker(cuts: list) -> None:
    sentences = choose_sentences(cuts[:4], cuts[4:], 3, ["One more."], 0.3, seed=1)
    assert len(sentences) == 4
    for sentence in sentences:
        said = sentence.prompt.supervisions[0]
        assert said.speaker == sentence.speaker
        assert sentence.prompt in cuts[4:]
        assert sentence.prompt.duration >= 0.3
    assert sentences[-1].cut is None
    assert sentences == choose_sentences(cuts[:4], cuts[4:], 3, ["One more."], 0.3, seed=1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_prompt_and_sentence_are_one_text(cuts: list, wrapped: bool) -> None:
    (sentence, further) = choose_sentences(cuts[:1], cuts[1:], 1, ["so so"], 0.3, seed=1)
    tokenizer = EspeakTokenizer.build([("so so", "en")])
    tokenizer = EspeakTokenizer(tokenizer.symbols, wrapped)
    bos, eos = ([1], [2]) if wrapped else ([], [])
    between = list(tokenizer.separator)
    prompt = sentence.prompt.supervisions[0].tokens
    request = request_of(sentence, tokenizer)
    assert request.prompt.ids == [*bos, *prompt]
    assert request.ids == [*between, *sentence.cut.supervisions[0].tokens, *eos]
    assert request_of(further, tokenizer).ids == [*between, *tokenizer("so so", "en").ids, *eos]
    for ids, languages in [
        (request.ids, request.languages),
        (request.prompt.ids, request.prompt.languages),
    ]:
        assert len(ids) == len(languages)


def test_an_extra_sentence_must_have_a_sound(cuts: list) -> None:
    sentence = Sentence("extra-1", '"', "en", "me", cuts[0])
    with pytest.raises(ValueError, match=r"synthesis\.extra: .* nothing of the text can be spoken"):
        request_of(sentence, VallexTokenizer())
    espeak = EspeakTokenizer.build([("well!", "en")])
    with pytest.raises(ValueError, match=r"synthesis\.extra: .* nothing of the text can be spoken"):
        request_of(replace(sentence, text="!"), espeak)
    with pytest.raises(ValueError, match=r"synthesis\.extra: 'quick' .* the training texts lack"):
        request_of(replace(sentence, text="quick"), espeak)
    assert request_of(replace(sentence, text="well"), VallexTokenizer()).ids
