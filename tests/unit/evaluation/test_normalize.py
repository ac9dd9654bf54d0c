"""Words as spoken: two spellings of the same speech give the same words."""

import pytest

from revoice.evaluation.normalize import join_compounds, normalize

SAME = [
    ("Press 1 now.", "press one now"),
    ("extension 1234", "extension twelve thirty-four"),
    ("It was 1999.", "it was nineteen ninety nine"),
    ("1,234 people", "one thousand two hundred and thirty four people"),
    ("105", "a hundred and five"),
    ("28.8 kilobit", "twenty eight point eight kilobit"),
    ("90210", "nine zero two one zero"),
    ("007", "zero zero seven"),
    ("the 21st", "the twenty first"),
    ("the 3rd and the 4th", "the third and the fourth"),
    ("the 1990s", "the nineteen nineties"),
    ("$5", "five dollars"),
    ("$1", "one dollar"),
    ("$5.50", "five dollars and fifty cents"),
    ("$1,000.00", "one thousand dollars"),
    ("$3.5 million", "three point five million dollars"),
    ("$2.5", "two point five dollars"),
    ("visit www.asterisk.org.", "visit w w w dot asterisk dot org"),
    ("£2.01", "two pounds and one penny"),
    ("50% off", "fifty percent off"),
    ("-5 degrees", "minus five degrees"),
    ("-5°", "minus five degrees"),
    ("at 5:30", "at five thirty"),
    ("at 5:05 p.m.", "at five oh five pm"),
    ("at 5:00", "at five o'clock"),
    ("at 5:00 PM", "at five p. m."),
    ("seven o'clock", "seven o clock"),
    ("D T M F tones", "DTMF tones"),
    ("D.T.M.F. tones", "d. t. m. f. tones"),
    ("A.M.", "a m"),
    ("your party's name", "your partys name"),
    ("the users' mail", "the users mail"),
    ("I’m sorry", "I'm sorry"),
    ("a touch-tone key", "a touch tone key"),
    ("press * or #", "press star or pound"),
    ("straight thru", "straight through"),
    ("Cancelled!", "canceled"),
    ("at [@]", "at"),
    ("...to leave,   the conference?!", "to leave the conference"),
]


@pytest.mark.parametrize(("written", "spoken"), SAME)
def test_two_spellings_of_the_same_speech(written: str, spoken: str) -> None:
    assert normalize(written) == normalize(spoken)
    assert normalize(written)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Please enter 7 for Q.", ["please", "enter", "seven", "for", "q"]),
        ("DTMF", ["dtmf"]),
        ("D T M F", ["dtmf"]),
        ("as I a person", ["as", "i", "a", "person"]),  # two words, no spelling
        ("press 1 and 2", ["press", "one", "and", "two"]),  # no number joined by "and"
        ("a thousand and one", ["one", "thousand", "one"]),
        ("a hundred and more", ["one", "hundred", "and", "more"]),
        ("3D audio", ["three", "d", "audio"]),
        ("the 80s", ["the", "eighties"]),
        ("[tones]", []),
        ("<beep>", []),
        ("...", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert normalize(text) == words


def test_different_words_stay_different() -> None:
    assert normalize("press fifteen") != normalize("press 50")
    assert normalize("the first") != normalize("the 1")
    assert normalize("mail boxes") != normalize("mail box")


def test_normalising_twice_changes_nothing() -> None:
    for written, _ in SAME:
        once = normalize(written)
        assert normalize(" ".join(once)) == once


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("fr", "Appuyez sur 21 !", ["appuyez", "sur", "vingt", "et", "un"]),
        ("es", "¿Marque 3?", ["marque", "tres"]),
        ("it", "l'ora è 2", ["l", "ora", "è", "due"]),
        ("ru", "Нажмите 5.", ["нажмите", "пять"]),
        ("en-us", "Press 1", ["press", "one"]),
        ("zh", "你好，世界。", ["你", "好", "世", "界"]),
        ("ja", "3時です", ["三", "時", "で", "す"]),
        ("xx", "abc 5", ["abc", "5"]),  # a language that num2words lacks
    ],
)
def test_other_languages(language: str, text: str, words: list[str]) -> None:
    assert normalize(text, language) == words


def test_compounds_follow_the_reference() -> None:
    reference = normalize("leave a voicemail, log in")
    assert join_compounds(normalize("leave a voice mail login"), reference) == reference
    # nothing else changes, and words that the reference has stay as they are
    assert join_compounds(["a", "log", "in"], ["a", "log", "in", "login"]) == ["a", "log", "in"]
    assert join_compounds(["some", "thing", "else"], ["nothing"]) == ["some", "thing", "else"]
    assert join_compounds([], ["word"]) == []
