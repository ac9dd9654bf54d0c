"""A transcript of a whole recording, dealt out to its segments."""

import pytest

from revoice.recordings.given import Part, deal_out

TEXT = "Hello, Mr. Smith. I have 3 dogs, and twelve cats. Bye now!"


def texts(text: str, heard: list[str], language: str = "en") -> list[str]:
    return [part.text for part in deal_out(text, heard, language)]


def test_the_given_spelling_wins() -> None:
    heard = ["hello mister smith", "i have three docks", "and 12 cats", "bye now"]
    assert texts(TEXT, heard) == [
        "Hello, Mr. Smith.",
        "I have 3 dogs,",
        "and twelve cats.",
        "Bye now!",
    ]


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (["hello mister smith i", "dogs and twelve cats"], ["Hello, Mr. Smith. I have 3", "dogs,"]),
        (["hello mister smith", "have three dogs"], ["Hello, Mr. Smith.", "I have 3 dogs,"]),
    ],
    ids=["in the middle of a phrase, to the words before", "at the end of one, to those after"],
)
def test_words_that_were_not_heard(heard: list[str], expected: list[str]) -> None:
    found = texts(TEXT, heard)
    assert found[0] == expected[0]
    assert found[1].startswith(expected[1])


def test_all_of_the_transcript_is_dealt_out() -> None:
    found = texts(TEXT, ["smith", "", "three cats", ""])
    assert " ".join(" ".join(found).split()) == TEXT
    assert found[1] == found[3] == ""


def test_the_share_that_was_heard() -> None:
    parts = deal_out("one two three four", ["one two", "free four five"], "en")
    assert parts == [Part("one two", 1.0), Part("three four", pytest.approx(1 / 3))]


def test_what_was_not_given_matches_nothing() -> None:
    assert deal_out("", ["one two"], "en") == [Part("", 0.0)]
    assert deal_out("one two", ["", ""], "en") == [Part("", 0.0), Part("", 0.0)]


def test_a_language_without_spaces() -> None:
    assert texts("你好，世界。再见！", ["你好世界", "再见"], "zh") == ["你好，世界。", "再见！"]
