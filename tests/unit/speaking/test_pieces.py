"""Texts to pieces: nothing is lost, nothing is too long, pauses are where they belong."""

import random
import re
import unicodedata

import pytest

from revoice.speaking.pieces import (
    COLON,
    COMMA,
    ELLIPSIS,
    PARAGRAPH,
    SENTENCE,
    Piece,
    Span,
    pieces,
)

MANY = "en fr zh ja ko ru el ar he hi th".split()
LETTERS = "abcdeéàßXYZ中国天気かなカナ한국привеςλάمرحשלוनमस्तสวัด12345"
SIGNS = ".,;:!?…。！？、，；「」“”‘’«»\"'()[]{}-—–*#&%$@/\\|~^_=+<>¿¡।؟،·😀🎉♬☉\u0301\u0308"
UNSEEN = "\u200b\u200d\ufeff\u00ad\x00\x07\u202e\ud800\ue000"
SPACES = [" "] * 9 + [
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "  ",
    "\r\n\r\n",
    "\n- ",
    "\f",
]
WORDS = (
    "Dr. Smith U.S. e.g. 3.14 $5.50 10 a.m. v1.2.3 [OK] [AI] [1] [EN]yes[EN] [FR]oui![FR] "
    "[ZH]我[ZH] [JA]東京。[JA] a.com «Non » z. B. ... ... … 我很好。 「はい。」と 1. 2) *** --- !!!"
).split()


def random_text(rng: random.Random) -> str:
    """Words of letters of all scripts, signs, tags and what is not seen."""
    parts = []
    for _ in range(rng.randint(1, 60)):
        kind = rng.random()
        if kind < 0.5:
            parts.append("".join(rng.choices(LETTERS, k=int(rng.expovariate(0.2)) + 1)))
        elif kind < 0.7:
            parts.append("".join(rng.choices(SIGNS, k=rng.randint(1, 4))))
        elif kind < 0.95:
            parts.append(rng.choice(WORDS))
        else:
            parts.append(rng.choice(UNSEEN))
        parts.append(rng.choice(SPACES) if rng.random() < 0.8 else "")
    return "".join(parts)


def kept(text: str) -> str:
    """What has to be in the pieces, without spaces: lines that have something to say, no tags."""
    text = re.sub("\r\n|[\r\f]", "\n", text)
    seen = "".join(c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    text = re.sub(r"\[(EN|FR|ZH|JA)\]", "", unicodedata.normalize("NFC", seen))
    lines = (line for line in text.split("\n") if any(map(str.isalnum, line)))
    return "".join("".join(lines).split())


def joined(found: list[Piece]) -> str:
    return "".join("".join(piece.text for piece in found).split())


def measure(text: str) -> float:
    """Length of a text in letters."""
    return sum(3 if c.isdigit() or c == "中" else 2 if c == "か" else 1 for c in text)


def prose(words: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    known = "the old house stood at its end of that road and nobody lived in it any more".split()
    known += "Dr. Smith of the U.S. saw 3.14 e.g. naturally, perhaps; again".split()
    sentences = []
    for number in range(words // 12):
        said = " ".join(rng.choices(known, k=12))
        sentences.append(f"{said[0].upper()}{said[1:]}{rng.choice('...?!')}")
        sentences.append("\n\n" if number % 9 == 8 else " ")
    return "".join(sentences)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_or_said_twice(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        text = random_text(rng)
        length = rng.choice([20, 40, 180])
        if not kept(text):
            with pytest.raises(ValueError, match="nothing to say"):
                pieces(text, MANY)
            continue
        found = pieces(text, MANY, rng.choice([None, "en", "zh"]), length)
        assert joined(found) == kept(text)
        assert found[-1].pause == 0
        for piece in found:
            assert any(map(str.isalnum, piece.text))
            assert piece.text == " ".join(piece.text.split())
            for before, after in zip(piece.spans, piece.spans[1:], strict=False):
                assert before.language != after.language
            for span in piece.spans:
                assert any(map(str.isalnum, span.text)), piece.spans
                assert span.language in MANY
            assert piece.pause in {0, COMMA, COLON, SENTENCE, ELLIPSIS, PARAGRAPH}


@pytest.mark.parametrize("length", [20, 60, 180, 500])
def test_no_piece_is_too_long(length: int) -> None:
    rng = random.Random(length)
    for _ in range(8):
        words = ["".join(rng.choices("abc中かé", k=rng.choice([1, 5, 9, 70]))) for _ in range(200)]
        ends = rng.choices(["", ",", ";", ".", "。", "，"], [20, 2, 1, 2, 1, 1], k=200)
        text = " ".join(word + end for word, end in zip(words, ends, strict=True))
        for piece in pieces(text, ["en", "zh", "ja"], length=length):
            assert measure(piece.text) <= length + 2


def test_whole_sentences_that_are_short_share_a_piece() -> None:
    text = "I am here. You are too. " * 9
    found = pieces(text, ["en"], length=100)
    assert {piece.text for piece in found[:-1]} == {
        "I am here. You are too. I am here. You are too."
    }
    long = "This sentence has more than fifty letters, as you may see. " * 3
    assert len(pieces(long, ["en"], length=100)) == 3
    assert len(pieces("I am here.\n\nYou are too.", ["en"])) == 2
    assert len(pieces("I am here. 我也在。", ["en", "zh"])) == 2


def test_a_long_sentence_is_cut_at_the_best_place_near_its_middle() -> None:
    def cut(text: str) -> list[tuple[str, float]]:
        return [(piece.text, piece.pause) for piece in pieces(text, ["en", "zh"], length=40)]

    assert cut("The man who came, of late, to us was old, and he went off") == [
        ("The man who came, of late,", COMMA), ("to us was old, and he went off", 0),
    ]  # fmt: skip
    assert cut("The man who came, of late; to us was old, and he went off")[0][1] == COLON
    assert cut("The man who came to us was old, but he was well again") == [
        ("The man who came to us was old,", COMMA), ("but he was well again", 0),
    ]  # fmt: skip
    assert cut("The man who came to us was old and he was well again") == [
        ("The man who came to us was old", 0), ("and he was well again", 0),
    ]  # fmt: skip
    assert cut("One two three four five six seven eight nine ten") == [
        ("One two three four five", 0), ("six seven eight nine ten", 0),
    ]  # fmt: skip
    assert cut("“Is he the man who came?” asked she of the others") == [
        ("“Is he the man who came?”", SENTENCE), ("asked she of the others", 0),
    ]  # fmt: skip
    assert cut("今天天气很好我们一起去公园，明天要下雨") == [
        ("今天天气很好我们一起去公园，", COMMA), ("明天要下雨", 0),
    ]  # fmt: skip
    assert cut("It costs 1,000,000 or 2,000 of them")[0][0].endswith("000")


def test_long_words_are_cut_evenly() -> None:
    for text in ("a" * 10_000, "国" * 5_000, "พ" * 5_000, "é" * 3_000):
        found = pieces(text, ["en", "zh", "th"])
        sizes = [len(piece.text) for piece in found]
        assert sum(sizes) == len(text)
        assert max(sizes) - min(sizes) <= 2
        assert all(piece.pause == 0 for piece in found)
    accents = "".join(f"{c}\u0323\u0324" for c in "abcde") * 99
    for piece in pieces(accents, ["en"], length=30):
        assert not unicodedata.combining(piece.text[0])


@pytest.mark.parametrize(
    ("text", "pauses"),
    [
        ("It was late. He went on and on.", [SENTENCE]),
        ("It was late! “He went on and on.”", [SENTENCE]),
        ("“It was so late?” He went on and on.", [SENTENCE]),
        ("It was late… He went on and on.", [ELLIPSIS]),
        ("It was late... He went on and on.", [ELLIPSIS]),
        ("It was late...\n\nHe went on and on.", [PARAGRAPH]),
        ("What a title\n\nHe went on and on.", [PARAGRAPH]),
        ("What a title\n***\nHe went on and on.", [PARAGRAPH]),
        ("He took these:\n- a cap and a hat\n- a tie", [COLON, SENTENCE]),
        ("He took these things; she took some more", [COLON]),
        ("He took these things, she took some more", [COMMA]),
        ("He took these things – she took some more", [COMMA]),
        ("He took these things she took some more", [0]),
        ("今天天气很好。我们去公园。", [SENTENCE]),
        ("今天天气很好……\n我们去公园。", [ELLIPSIS]),
    ],
)
def test_pauses(text: str, pauses: list[float]) -> None:
    found = [piece.pause for piece in pieces(text, ["en", "zh"], length=25)]
    assert found == [*pauses, 0]


def test_what_has_nothing_to_say_is_no_piece() -> None:
    text = "***\n\n🎉🎉\n\nOne. 😀 !!!\n\n---\n\n“…” Two? ?! ♬\n=====\n* * *\n- \n- three\n-"
    found = pieces(text, ["en"])
    assert [piece.text for piece in found] == ["One. 😀 !!!", "“…” Two? ?! ♬", "- three"]
    assert [piece.pause for piece in found] == [PARAGRAPH, PARAGRAPH, 0]


@pytest.mark.parametrize(
    "text", ["", " \n\t", "😀", "***", "...", "\u200b\ufeff", "\u0301", "[EN][EN]"]
)
def test_a_text_with_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        pieces(text, ["en"])


def test_what_is_not_seen_is_left_out() -> None:
    text = "\ufeffIt\u00a0 is\tcafe\u0301 A\u030a.\x00\u200bx\u00ady\ud800\ue000\u202e\r\nso"
    assert pieces(text, ["en"]) == [Piece((Span("It is café Å.xy so", "en"),), 0.0)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85"])
def test_line_ends_of_any_kind(end: str) -> None:
    text = f"One line{end}goes on.{end}{end}New{end} {end}Newer{end}我很{end}好。"
    found = pieces(text, ["en", "zh"])
    assert [piece.text for piece in found] == ["One line goes on.", "New", "Newer 我很好。"]


def test_lists_and_headings() -> None:
    text = "Chapter 1\n\nShopping\n- apples\n- pears\n\n1. Go in. Sit.\n2. Eat\n"
    assert [piece.text for piece in pieces(text, ["en"])] == [
        "Chapter 1", "Shopping", "- apples", "- pears", "1. Go in. Sit. 2. Eat",
    ]  # fmt: skip


def test_right_to_left_text_keeps_its_order() -> None:
    text = "He said שלום, my friend. مرحبا 123 hello! كيف حالك؟"
    found = pieces(text, ["en", "he", "ar"], length=30)
    assert joined(found) == kept(text)
    assert [(span.text, span.language) for span in found[0].spans] == [
        ("He said ", "en"), ("שלום, ", "he"), ("my friend.", "en"),
    ]  # fmt: skip


def test_a_short_length_is_refused() -> None:
    with pytest.raises(ValueError, match="give 20 or more"):
        pieces("a", ["en"], length=5)


LONG = {
    "prose": prose(18_000),
    "one paragraph": prose(5_000).replace("\n\n", " "),
    "one word": "a" * 10_000,
    "Chinese": "今天天气很好，我们去公园。" * 2_000,
    "quoted Chinese": "“今天天气很好！”他说。" * 2_000,
    "marks": "?! " * 9_000 + "a",
    "stops": ". " * 9_000 + "a",
    "quotes": "\"'" * 9_000 + "a",
    "emoji": "😀" * 20_000 + "a",
    "brackets": "!(" * 9_000 + "a",
    "tags": "[EN]a[EN] " * 2_000,
    "lines": "- a\n" * 5_000,
    "accents": "a" + "\u0323" * 20_000,
    "initials": "A. " * 9_000,
    "small letters": "hello. how are you? " * 1_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts(text: str) -> None:
    assert joined(pieces(text, ["en", "zh"])) == kept(text)
