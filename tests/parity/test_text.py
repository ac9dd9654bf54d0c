"""The `vallex` front end gives the symbols and ids of the original one."""

import json
from pathlib import Path

import pytest

from revoice.text import VallexTokenizer

JAPANESE_SHARE = 0.9  # of the sentences: Open JTalk's dictionary differs between builds


@pytest.fixture(scope="module")
def text(shared: Path) -> Path:
    folder = shared / "parity" / "text"
    if not folder.is_dir():
        pytest.skip("needs the reference texts in ../shared/parity/text")
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> VallexTokenizer:
    return VallexTokenizer()


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def phonemes(tokenizer: VallexTokenizer, ids: list[int]) -> str:
    return "".join(tokenizer.symbols[index] for index in ids)


def wrong(tokenizer: VallexTokenizer, cases: list[dict]) -> list[str]:
    """What differs, a line per case."""
    faults = []
    for case in cases:
        language = case.get("language", "en")
        tokens = tokenizer(case["text"], language)
        got = phonemes(tokenizer, tokens.ids)
        same_languages = tokens.languages == case.get("languages", [language] * len(tokens.ids))
        if tokens.ids != case["ids"] or got != case["phonemes"] or not same_languages:
            faults.append(f"{case['text']!r}: {got}, not {case['phonemes']}")
    return faults


def test_the_symbols_are_those_of_the_original(text: Path, tokenizer: VallexTokenizer) -> None:
    original = read(text / "bpe_69.json")
    vocabulary = original["model"]["vocab"]
    assert tokenizer.symbols == sorted(vocabulary, key=vocabulary.get)
    special = [token["content"] for token in original["added_tokens"]]
    assert tokenizer.symbols[: len(special)] == special
    assert tokenizer.symbols[tokenizer.pad] == "[PAD]"
    assert tokenizer.symbols[tokenizer.unknown] == original["model"]["unk_token"]


@pytest.mark.parametrize("group", ["english", "mandarin", "mixed"])
def test_rules(text: Path, tokenizer: VallexTokenizer, group: str) -> None:
    cases = read(text / "front_end_rules.json")[group]
    assert cases
    assert not wrong(tokenizer, cases)


def test_japanese(text: Path, tokenizer: VallexTokenizer) -> None:
    cases = read(text / "front_end_rules.json")["japanese"]
    faults = wrong(tokenizer, cases)
    assert len(faults) <= (1 - JAPANESE_SHARE) * len(cases), "\n".join(faults)


def test_sentences(text: Path, tokenizer: VallexTokenizer) -> None:
    cases = read(text / "phoneme_bpe.json")["cases"]
    assert cases
    assert not wrong(tokenizer, cases)


def test_tags_of_one_language_change_nothing(text: Path, tokenizer: VallexTokenizer) -> None:
    cases = read(text / "phoneme_bpe.json")["cases"]
    tagged = [
        {**case, "text": "[{0}]{1}[{0}]".format(case["language"].upper(), case["text"])}
        for case in cases
    ]
    assert not wrong(tokenizer, tagged)


def test_every_mandarin_syllable(text: Path, tokenizer: VallexTokenizer) -> None:
    table = read(text / "mandarin_syllables.json")
    character, expected = (table["columns"].index(name) for name in ("character", "phonemes"))
    assert table["rows"]
    faults = [
        row
        for row in table["rows"]
        if phonemes(tokenizer, tokenizer(row[character], "zh").ids) != row[expected]
    ]
    assert not faults
