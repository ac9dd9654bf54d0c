"""Which language what is in: tags, scripts, the detector, and what nothing tells apart."""

import pytest

from revoice.speaking.languages import CODES, WRITTEN, Known, detect, guess, read_tags, script
from revoice.speaking.pieces import pieces

MANY = ("en", "zh", "ja", "ko", "ru", "el", "ar", "he", "hi", "th")
PROSE = {
    "en": "The old house stood at the end of the road.",
    "fr": "La vieille maison se trouvait au bout de la rue.",
    "de": "Das alte Haus stand am Ende der langen Straße.",
    "es": "La casa vieja estaba al final de la calle.",
    "it": "La vecchia casa si trovava alla fine della strada.",
    "pl": "Stary dom stał na samym końcu długiej drogi.",
}


def told(
    text: str, languages: str, default: str | None = None, length: int = 20
) -> list[tuple[str, str]]:
    """Spans of all pieces, those side by side in one language joined."""
    found: list[tuple[str, str]] = []
    for piece in pieces(text, languages.split(), default, length):
        for number, span in enumerate(piece.spans):
            if found and found[-1][1] == span.language:
                space = " " * (number == 0)
                found[-1] = (f"{found[-1][0]}{space}{span.text}", span.language)
            else:
                found.append((span.text.strip(), span.language))
    return [(text.strip(), language) for text, language in found]


def test_scripts_of_letters() -> None:
    signs = "aÅﬁＡяΩあカﾊー漢々ㄅ한अ1１!ªº𝐇😀́ "
    of_signs = "Latn Latn Latn Latn Cyrl Grek Kana Kana Kana  Hani Hani Hani Hang Deva         "
    assert [script(sign) for sign in signs] == of_signs.split(" ")[: len(signs)]


def test_every_language_of_a_script_is_a_language() -> None:
    assert {code for row in WRITTEN.values() for code in row.split()} <= CODES | {"wuu"}
    assert not {"ok", "ai", "us", "uk2", "tv", "pc", "id3"} & CODES
    assert len([code for code in CODES if len(code) == 2]) == 184


def test_scripts_tell_languages_apart() -> None:
    text = "Hello. 你好。 こんにちは、世界。 안녕하세요. Привет. Γειά. مرحبا. שלום. नमस्ते। สวัสดี"
    found = told(text, " ".join(MANY))
    assert [language for _, language in found] == list(MANY)
    assert " ".join(said for said, _ in found) == text


@pytest.mark.parametrize(
    ("text", "languages", "expected"),
    [
        ("東京都庁。", "en zh ja", [("東京都庁。", "zh")]),
        ("東京都庁。", "en ja", [("東京都庁。", "ja")]),
        ("東京へ行く。", "en zh ja", [("東京へ行く。", "ja")]),
        ("日本。コーヒー。", "zh ja", [("日本。", "zh"), ("コーヒー。", "ja")]),
        ("我用Python编程。", "zh en", [("我用", "zh"), ("Python", "en"), ("编程。", "zh")]),
        ("「AI」は3つの“App Store”です。", "ja en", [
            ("「", "en"), ("は3つの", "ja"), ("“App Store”", "en"), ("です。", "ja"),
        ]),
        ("我有iPhone 15，很好（iPad）。", "zh en", [
            ("我有", "zh"), ("iPhone 15，", "en"), ("很好", "zh"), ("（iPad）。", "en"),
        ]),
        ("Он сказал hello (world).", "ru en", [("Он сказал", "ru"), ("hello (world).", "en")]),
    ],
)  # fmt: skip
def test_scripts_change_within_a_sentence(
    text: str, languages: str, expected: list[tuple[str, str]]
) -> None:
    if text.startswith("「"):
        expected[0] = ("「AI」", "en")
    assert told(text, languages, length=60) == expected


def test_languages_of_one_script_are_detected_by_sentence() -> None:
    found = told(" ".join(PROSE.values()), " ".join(PROSE), length=60)
    assert found == [(text, language) for language, text in PROSE.items()]


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        # the sentence before, and the one after
        ("{en} No. Oui. {fr} Oui. No. {de}", "en en en fr fr fr de"),
        ("Oui. Oui. {fr}", "fr fr fr"),
        # a paragraph is nearer than the sentence before
        ("{en}\n\nOui. {fr}\n\nNo.", "en fr fr fr"),
        # short ones together are long enough
        ("Oui. Bien sûr. Merci beaucoup. Au revoir.", "fr fr fr fr"),
        ("{en}\n\nOui. Bien sûr. Merci beaucoup. Au revoir.", "en fr fr fr fr"),
        # nothing tells
        ("Oui.", "en"),
        ("1984. {fr} 12.\n\n3. {de}", "fr fr fr de de"),
    ],
)
def test_short_sentences_go_with_those_beside(text: str, languages: str) -> None:
    found = pieces(text.format(**PROSE), ["en", "fr", "de"], length=1000)
    spans = [span for piece in found for span in piece.spans]
    counted = [span.language for span in spans for _ in range(sum(map(span.text.count, ".")))]
    assert counted == languages.split()


def test_a_default_is_the_language_of_its_script() -> None:
    text = f"{PROSE['en']} Привет. {PROSE['fr']}"
    assert [of for _, of in told(text, "en fr de ru", "de")] == ["de", "ru", "de"]
    assert [of for _, of in told(text, "en fr de ru", "ru")] == ["en", "ru", "fr"]
    assert [of for _, of in told("東京。東京へ。", "zh ja", "ja")] == ["ja"]
    assert [of for _, of in told("12 34.", "zh ja", "ja")] == ["ja"]


def test_one_language_has_everything() -> None:
    assert told(f"{PROSE['fr']} Oui. 12!", "en") == [(f"{PROSE['fr']} Oui. 12!", "en")]
    assert told("В XIV веке. CD-диск.", "ru") == [("В XIV веке. CD-диск.", "ru")]
    assert told("25º и 3ª", "ru") == [("25º и 3ª", "ru")]


@pytest.mark.parametrize(
    ("text", "languages", "line", "quoted", "script_name"),
    [
        ("I said\n\n“Привет, мир” to him.", "en", 3, "Привет, мир” to him.", "Cyrillic"),
        ("我用Python编程。", "zh ru", 1, "Python编程。", "Latin"),
        ("私はDVDを見た。", "ja", 1, "DVDを見た。", "Latin"),
        ("Fine.\r\nπ is 3.", "en fr", 2, "π is 3.", "Greek"),
        ("日本のカフェ", "zh en", 1, "日本のカフェ", "kana"),
        ("[EN]Hi[EN]\n[EN]A мир![EN]", "en ru", 2, "мир!", "Cyrillic"),
        ("XIV", "ru", 1, "XIV", "Latin"),
        ("𐌰𐌱", "en", 1, "𐌰𐌱", "Gothic"),
    ],
)
def test_letters_that_no_language_has_are_refused(
    text: str, languages: str, line: int, quoted: str, script_name: str
) -> None:
    with pytest.raises(ValueError, match=f"line {line} ") as caught:
        pieces(text, languages.split())
    message = str(caught.value)
    assert f"“{quoted}”" in message
    assert f"{script_name} letters" in message
    assert ", ".join(languages.split()) in message or "tags of en" in message


def test_the_mend_of_a_latin_word_is_a_tag() -> None:
    with pytest.raises(ValueError, match=r"write \[ZH\] before and after it"):
        pieces("我用Python编程。", ["zh"])
    assert told("[ZH]我用Python编程。[ZH]", "zh", length=60) == [("我用Python编程。", "zh")]
    assert told("我用[ZH]Python[ZH]编程。", "zh", length=60) == [("我用Python编程。", "zh")]


def test_tags_say_the_language() -> None:
    text = "[ZH]我说[ZH] [EN]good morning[EN]，[JA]東京[JA] fine [FR]Yes. No.\n\nNot [OK][FR] [AI]"
    found = told(text, "en zh ja fr", length=60)
    assert found == [
        ("我说", "zh"), ("good morning，", "en"), ("東京", "ja"), ("fine", "en"),
        ("Yes. No. Not [OK]", "fr"), ("[AI]", "en"),
    ]  # fmt: skip


def test_a_tagged_word_does_not_cut_its_sentence() -> None:
    (piece,) = pieces("He said [FR]bonjour[FR], 5 “[FR]fois[FR]” or 6.", ["en", "fr"])
    assert [(span.text, span.language) for span in piece.spans] == [
        ("He said ", "en"), ("bonjour, ", "fr"), ("5 ", "en"), ("“fois” ", "fr"), ("or 6.", "en"),
    ]  # fmt: skip
    assert told("[FR]Bonjour[FR] 5", "en fr") == [("Bonjour 5", "fr")]


def test_tags_side_by_side_leave_a_space_after_a_mark() -> None:
    assert told("[EN]Yes.[EN][FR]Oui.[FR][EN]Well[EN]", "en fr") == [
        ("Yes.", "en"), ("Oui.", "fr"), ("Well", "en"),
    ]  # fmt: skip
    assert pieces("[EN]3.14[EN][FR], oui[FR]", ["en", "fr"])[0].text == "3.14, oui"


def test_tags_with_regions() -> None:
    known = Known(("en_GB", "pt-br", "pt", "zh"))
    assert [known.named(code) for code in ("EN", "EN-GB", "PT", "PT_BR", "ZH", "EN-US")] == [
        "en_GB", "en_GB", "pt", "pt-br", "zh", None,
    ]  # fmt: skip
    assert Known(("cmn", "nb")).named("ZH") == "cmn"
    text, labels = read_tags("a[EN-GB]b[EN-GB]c[PT]d[PT]", known)
    assert (text, labels) == ("abcd", [None, "en_GB", None, "pt"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One.\n[EN]Two", ["[EN] in line 2 (“[EN]Two”) has no second [EN]", "(EN) if it is no"]),
        ("Two[EN]", ["[EN] in line 1 (“[EN]”) has no second [EN]"]),
        ("So [IT] is", ["[IT] in line 1 (“[IT] is”) has no second [IT]", "write (IT) if"]),
        ("\n\n[IT]ciao[IT]", ["[IT] in line 3", "does not speak", "speaks en, zh", "Leave"]),
        ("[EN]a [ZH]我[EN] 你[ZH]", ["[EN] in line 1", "next tag is [ZH] in line 1"]),
        ("[EN]a[/EN] b", ["[/EN] in line 1", "begins and ends with [EN]"]),
        ("[ZH]" + "我" * 99, ["“[ZH]" + "我" * 36 + "”"]),
    ],
)
def test_wrong_tags(text: str, parts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\[") as caught:
        pieces(text, ["en", "zh"])
    for part in parts:
        assert part in str(caught.value)


def test_brackets_that_are_no_tags_are_text() -> None:
    text = "[OK] [AI] [US] [USA] [en] [sic] [1] [EN ] [A] [UNITED] [TV]"
    assert pieces(text, ["en"])[0].text == text
    assert pieces("a [EN][EN] b", ["en"])[0].text == "a b"


def test_the_languages_must_be_known() -> None:
    with pytest.raises(ValueError, match="no language is given"):
        pieces("a", [])
    with pytest.raises(ValueError, match=r"default language, fr, is none .*: en, de"):
        pieces("a", ["en", "de"], "fr")


def test_the_detector_chooses_among_what_it_is_asked() -> None:
    for language, text in PROSE.items():
        assert detect(text, list(PROSE)) == language
        assert detect(text.upper(), ["ru", language]) == language
    assert detect("Dette er et gammelt hus.", ["en_US", "nb", "jbo"]) == "nb"
    assert detect(PROSE["en"], ["jbo", "qya"]) is None
    assert told(PROSE["en"], "jbo qya") == [(PROSE["en"], "jbo")]


def test_what_most_of_a_text_is_in() -> None:
    known = Known(("en", "fr", "zh"))
    assert guess(f"{PROSE['fr']} 你好", known) == "fr"
    assert guess("你好吗 abc", known) == "zh"
    assert guess("12", known) == guess("", known) == "en"
