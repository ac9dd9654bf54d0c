"""Front ends, tokenizers as files, tokens for cuts."""

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment

from revoice.text import (
    EspeakTokenizer,
    Tokenizer,
    VallexTokenizer,
    check_tokenizer,
    load_tokenizer,
)
from revoice.text.cuts import tokenize_cuts
from revoice.text.english import english_to_ipa, spell_numbers
from revoice.text.espeak import espeak_code, espeak_symbols
from revoice.text.japanese import japanese_to_ipa
from revoice.text.mandarin import mandarin_to_ipa, spell_number

TEXTS = [("Hello, world!", "en"), ("a good day", "en_US"), ("Guten Tag.", "de")]


@pytest.fixture(scope="module")
def vallex() -> VallexTokenizer:
    return VallexTokenizer()


@pytest.fixture(scope="module")
def espeak() -> EspeakTokenizer:
    return EspeakTokenizer.build(TEXTS)


def cuts_of(*texts: tuple[str | None, str]) -> CutSet:
    return CutSet.from_cuts(
        MonoCut(
            id=f"cut-{number}",
            start=0,
            duration=1,
            channel=0,
            supervisions=[
                SupervisionSegment(
                    f"s-{number}", "r", 0, 1, text=text, language=language, custom={"kept": number}
                )
            ],
        )
        for number, (text, language) in enumerate(texts)
    )


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("$1", "one dollar"),
        ("$2.01", "two dollars, one cent"),
        ("$.50", "fifty cents"),
        ("$0.00", "zero dollars"),
        ("$1.2.3", "one point two.three dollars"),
        ("1,234,567", "one million, two hundred thirty-four thousand, five hundred sixty-seven"),
        ("the 21st and 102nd", "the twenty-first and one hundred and second"),
        ("1,001", "ten oh one"),
        ("1805", "eighteen oh five"),
        ("2005", "two thousand five"),
        ("2024", "twenty twenty-four"),
        ("3005", "three thousand five"),
        ("2.05", "two point five"),
        ("no digits", "no digits"),
        ("9" * 400, " ".join(["nine"] * 400)),
    ],
)
def test_english_numbers(digits: str, words: str) -> None:
    assert spell_numbers(digits) == words


def test_english_mends_are_an_option() -> None:
    assert english_to_ipa("£20") == "pstwenty*"
    assert english_to_ipa("£20", mend=True) == english_to_ipa("20 pounds")
    assert english_to_ipa("£1,500", mend=True) == english_to_ipa("1,500 pounds")
    assert english_to_ipa("£2.50", mend=True) == english_to_ipa("two pounds, fifty pence")
    assert "*" in english_to_ipa("Mrs. Lee is 42")
    assert english_to_ipa("Mrs. Lee is 42", mend=True) == english_to_ipa("missus lee is forty two")
    assert english_to_ipa("full-featured", mend=True) == english_to_ipa("full featured")


@pytest.mark.parametrize("text", ["", " ", "😀", "...", "-", "*"])
@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_texts_of_no_words_are_no_error(text: str, language: str) -> None:
    for mend in (False, True):
        tokens = VallexTokenizer(mend)(text, language)
        assert not any(
            symbol.isalpha() and index != VallexTokenizer.unknown
            for symbol, index in zip(tokens.symbols, tokens.ids, strict=True)
        )


def test_mends_leave_what_is_right_alone() -> None:
    for text in ("Dr. Smith paid $3.50 on the 21st of May.", "well-known", "twenty e-mails, ok?"):
        assert english_to_ipa(text, mend=True) == english_to_ipa(text)
    assert mandarin_to_ipa("是三十五，对吗？", mend=True) == mandarin_to_ipa("是三十五，对吗？")
    assert japanese_to_ipa("雪が降る。", mend=True) == japanese_to_ipa("雪が降る。")


def test_mandarin_mends_are_an_option() -> None:
    assert mandarin_to_ipa("孩子，") == "xaɪ↑ts⁼,"
    assert mandarin_to_ipa("孩子，", mend=True) == "xaɪ↑ts⁼ɹ,"
    assert mandarin_to_ipa("5%", mend=True) == mandarin_to_ipa("百分之五")
    assert mandarin_to_ipa("1,000", mend=True) == mandarin_to_ipa("一千")
    assert mandarin_to_ipa("〇", mend=True) == mandarin_to_ipa("零")


def test_mandarin_numbers_of_any_length() -> None:
    assert spell_number("12.5") == "十二点五"
    assert spell_number("1" * 17 + ".2") == "一" * 17 + "点二"


def test_mandarin_reads_every_latin_letter(vallex: VallexTokenizer) -> None:
    tokens = vallex("abcdefghijklmnopqrstuvwxyz", "zh")
    assert vallex.unknown not in tokens.ids
    assert mandarin_to_ipa("x") == mandarin_to_ipa("X") != "x"


@pytest.mark.parametrize(
    ("text", "ipa"),
    [
        ("さんぽ", "sampo"),
        ("さんた", "santa"),
        ("さんか", "saŋka"),
        ("さんじ", "san^dʑi"),
        ("ほんや", "hoNja"),
        ("にっぽん", "n^ip#poN"),
        ("がっこう", "gak#koo"),
        ("ざっし", "zasʃi"),
        ("ひゃく", "çakɯ"),
        ("ふゆ", "ɸɯjɯ"),
        ("りゅう", "ɾjɯɯ"),
    ],
)
def test_japanese_sounds(text: str, ipa: str) -> None:
    spoken = japanese_to_ipa(text).replace("↑", "").replace("↓", "").replace("*", "")
    assert spoken == ipa


def test_japanese_mend_keeps_a_mora_whole() -> None:
    assert japanese_to_ipa("チュソクは").startswith("tʃ ɯ ")
    assert japanese_to_ipa("チュソクは", mend=True).startswith("tʃɯ ")


def test_vallex_is_one_language_per_symbol(vallex: VallexTokenizer) -> None:
    spans = [("Look:", "en"), ("你好", "zh"), ("bye", "en"), ("こんにちは", "ja")]
    parts = [vallex(*span) for span in spans]
    tokens = vallex("Look:[ZH]你好[ZH][EN]bye[EN][JA]こんにちは[JA]", "en_GB")
    assert tokens.ids == [index for part in parts for index in part.ids]
    assert tokens.languages == [name for part in parts for name in part.languages]
    assert [set(part.languages) for part in parts] == [{language} for _, language in spans]


def test_vallex_unknown_symbols_keep_their_name(vallex: VallexTokenizer) -> None:
    tokens = vallex("yes; (no)", "en")
    outside = [s for s, i in zip(tokens.symbols, tokens.ids, strict=True) if i == vallex.unknown]
    assert outside == [";", "(", ")"]


def test_vallex_errors(vallex: VallexTokenizer) -> None:
    with pytest.raises(ValueError, match=r"does not read 'fr', only en, zh, ja.*espeak"):
        vallex("bonjour", "fr")
    with pytest.raises(ValueError, match=r"\[EN\] opens a span"):
        vallex("[EN]hello", "en")


def test_vallex_grows_by_a_language(vallex: VallexTokenizer, tmp_path: Path) -> None:
    grown = vallex.grow([("Füße über Köln", "de"), ("hello", "en"), ("你好", "zh")])
    assert grown.symbols[: vallex.num_symbols] == vallex.symbols
    added = grown.symbols[vallex.num_symbols :]
    assert added
    assert added == sorted(added)
    german = grown("über Köln", "de")
    assert grown.unknown not in german.ids
    assert set(german.languages) == {"de"}
    assert grown("hello there", "en") == vallex("hello there", "en")
    assert grown.digest() != vallex.digest()
    grown.save(tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path / "tokenizer.json")("Köln", "de") == grown("Köln", "de")
    with pytest.raises(ValueError, match="does not read"):
        grown("bonjour", "fr")


def test_espeak_table(espeak: EspeakTokenizer) -> None:
    assert espeak.symbols[:3] == ["<pad>", "<bos>", "<eos>"]
    assert espeak.symbols[espeak.pad] == "<pad>"
    assert espeak.symbols[3:] == sorted(set(espeak.symbols[3:]))
    assert EspeakTokenizer.build(reversed(TEXTS)).symbols == espeak.symbols
    grown = EspeakTokenizer.build([("Wait? zebras", "en")], espeak)
    assert grown.symbols[: espeak.num_symbols] == espeak.symbols
    assert "?" in grown.symbols[espeak.num_symbols :]


def test_espeak_symbols_are_phones_separators_and_punctuation(espeak: EspeakTokenizer) -> None:
    tokens = espeak("Hello, world!", "en")
    assert tokens.symbols == ["h", "ə", "l", "oʊ", ",", "_", "w", "ɜː", "l", "d", "!"]
    assert [espeak.symbols[index] for index in tokens.ids] == tokens.symbols
    assert tokens.languages == ["en"] * len(tokens.ids)


def test_espeak_counts_texts_that_say_nothing() -> None:
    texts = ["", "one", "...", "  ", "[[h@]]", '"two"', "♪", "3.14", "three."]
    together = espeak_symbols(texts, "en")
    assert together == [espeak_symbols([text], "en")[0] for text in texts]
    assert together[0] == together[3] == []
    assert together[2] == ["…"]
    assert "." not in together[7]
    assert together[8][-1] == "."


def test_espeak_languages() -> None:
    assert espeak_code("en") == "en-us"
    assert espeak_code("en_AU") == "en-gb"
    assert espeak_code("de_AT") == "de"
    assert espeak_code("pt-br") == "pt-br"
    with pytest.raises(ValueError, match=r"no language 'xx'.* de,"):
        espeak_code("xx")


def test_espeak_names_an_unknown_symbol(espeak: EspeakTokenizer) -> None:
    with pytest.raises(ValueError, match=r"symbols that the training texts lack: .*ʒ"):
        espeak("vision", "en")
    (tokens,) = espeak.batch(["vision"], "en")
    assert espeak.unknown in tokens.ids


SENTENCES = [("Good, morning.", "en"), ("Is it? Yes!", "en"), ("It is.", "en"), ("is it.", "en")]


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("...is it", "is it."),
        ("Good, morning,", "Good, morning."),
        ("Yes -", "Yes."),
        ("Good... morning...", "Good. morning."),
        ("¿Is it?", "is it?"),
        ("Yes!", "Yes!"),
        ("...", ""),
    ],
)
def test_texts_are_made_like_sentences_where_all_were(text: str, like: str) -> None:
    tokenizer = EspeakTokenizer.build(SENTENCES)
    assert tokenizer.sentences
    assert tokenizer(text, "en") == tokenizer(like, "en")


def test_sentences_are_what_the_table_was_made_of(tmp_path: Path) -> None:
    plain = EspeakTokenizer.build([*SENTENCES, ("good morning", "en")])
    assert not plain.sentences
    assert plain("good morning", "en").symbols[-1] != "."
    tokenizer = EspeakTokenizer.build(SENTENCES)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again.sentences
    assert again.meta == tokenizer.meta
    assert again.meta != EspeakTokenizer(tokenizer.symbols).meta
    grown = EspeakTokenizer.build([("...well", "en"), ("Wirklich", "de")], tokenizer)
    assert grown.sentences
    assert grown.symbols[: tokenizer.num_symbols] == tokenizer.symbols
    assert "…" not in grown.symbols
    dotted = EspeakTokenizer.build([*SENTENCES, ("Well... yes...", "en")])
    assert dotted.sentences
    assert dotted("Well... yes", "en").symbols.count("…") == 1


def english_and_german(number: int) -> list[list[str]]:
    return espeak_symbols([f"number {number}"], "en" if number % 2 else "de")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_espeak_in_several_processes(method: str) -> None:
    expected = [english_and_german(number) for number in range(6)]
    with get_context(method).Pool(2) as pool:
        assert pool.map(english_and_german, range(6)) == expected


@pytest.mark.parametrize("name", ["vallex", "espeak"])
def test_save_and_load(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tokenizer = request.getfixturevalue(name)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again.name == name
    assert again.symbols == tokenizer.symbols
    assert again.num_symbols == len(tokenizer.symbols)
    assert again.digest() == tokenizer.digest()
    assert again("hello world", "en") == tokenizer("hello world", "en")
    check_tokenizer(again, {"tokenizer": tokenizer.meta})


def test_mend_is_saved_and_changes_no_symbol(vallex: VallexTokenizer, tmp_path: Path) -> None:
    VallexTokenizer(mend=True).save(tmp_path / "tokenizer.json")
    mended = load_tokenizer(tmp_path / "tokenizer.json")
    assert mended("£20", "en").ids != vallex("£20", "en").ids
    assert mended.digest() == vallex.digest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no tokenizer"),
        ('{"name": "other"}', "'other', not vallex or espeak"),
        ('{"name": "espeak", "symbols": ["a"]}', "not a whole espeak tokenizer"),
        ('{"name": "vallex"}', "not a whole vallex tokenizer"),
        ("{", "not valid JSON"),
    ],
)
def test_load_says_what_is_wrong(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        load_tokenizer(path)
    assert str(path) in str(error.value)


def test_a_grown_table_goes_on_from_the_models(espeak: EspeakTokenizer) -> None:
    grown = EspeakTokenizer.build([("Übung macht den Meister", "de")], espeak)
    assert grown.num_symbols > espeak.num_symbols
    check_tokenizer(grown, {"tokenizer": espeak.meta}, grown=True)
    with pytest.raises(ValueError, match="another symbol table"):
        check_tokenizer(grown, {"tokenizer": espeak.meta})
    with pytest.raises(ValueError, match="another symbol table"):
        check_tokenizer(espeak, {"tokenizer": grown.meta}, grown=True)


def test_a_table_by_lifeitengs_trainer(espeak: EspeakTokenizer, tmp_path: Path) -> None:
    symbols = ["<eps>", *reversed(espeak.symbols[3:])]
    path = tmp_path / "unique_text_tokens.k2symbols"
    path.write_text("".join(f"{symbol} {id}\n" for id, symbol in enumerate(symbols)), "utf-8")
    tokenizer = load_tokenizer(path)
    assert isinstance(tokenizer, EspeakTokenizer)
    assert tokenizer.symbols == ["<pad>", "<bos>", "<eos>", *sorted(symbols)]
    assert tokenizer("hello", "en").symbols == espeak("hello", "en").symbols
    # BOS and EOS stand around the text
    assert (tokenizer.ends, espeak.ends) == ((1, 2), ())
    assert tokenizer.meta != EspeakTokenizer(tokenizer.symbols).meta
    grown = EspeakTokenizer.build([("Übung macht den Meister", "de")], tokenizer)
    grown.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again.ends == (1, 2)
    check_tokenizer(again, {"tokenizer": tokenizer.meta}, grown=True)

    for content, message in [
        (b"_ 0\nb\n", "line 2, 'b', is not"),
        (b"_ 0\na 1\na 2\n", "one repeats"),
        (b"a 0\n\n", "there is no '_'"),
        (b"\xff\xfe", "codec can't decode"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            load_tokenizer(path)
        assert str(path) in str(error.value)


def test_the_wrong_tokenizer_is_refused(vallex: VallexTokenizer, espeak: EspeakTokenizer) -> None:
    with pytest.raises(ValueError, match=r"trained with the tokenizer espeak, but vallex"):
        check_tokenizer(vallex, {"tokenizer": espeak.meta})
    other = EspeakTokenizer.build([("something else", "en")])
    with pytest.raises(ValueError, match="another symbol table"):
        check_tokenizer(espeak, {"tokenizer": other.meta})
    missing: list[dict[str, Any]] = [{}, {"tokenizer": None}, {"tokenizer": {"name": "espeak"}}]
    for meta in missing:
        with pytest.raises(ValueError, match="does not say which tokenizer"):
            check_tokenizer(espeak, meta)


def tokenized(
    cuts: CutSet, tokenizer: Tokenizer, policy: Literal["drop", "fail"] = "drop"
) -> tuple[list[Any], list[dict[str, Any]]]:
    """The cuts with their tokens, and the report."""
    rows: list[dict[str, Any]] = []
    return list(tokenize_cuts(cuts, tokenizer, rows, policy)), rows


def test_tokenize_cuts(vallex: VallexTokenizer) -> None:
    cuts = cuts_of(("Hello there.", "en"), ("你好", "zh"), ("Good day", "en"))
    kept, rows = tokenized(cuts, vallex)
    assert rows == []
    assert [cut.id for cut in kept] == [cut.id for cut in cuts]
    for cut in kept:
        supervision = cut.supervisions[0]
        expected = vallex(supervision.text, supervision.language)
        assert supervision.tokens == expected.ids
        assert supervision.token_languages == expected.languages
        assert supervision.phonemes == "".join(expected.symbols)
        assert "kept" in supervision.custom
    assert all("tokens" not in cut.supervisions[0].custom for cut in cuts)


def test_tokens_survive_the_manifest(vallex: VallexTokenizer, tmp_path: Path) -> None:
    kept, _ = tokenized(cuts_of(("Hello there.", "en")), vallex)
    CutSet.from_cuts(kept).to_file(tmp_path / "cuts.jsonl.gz")
    (cut,) = CutSet.from_file(tmp_path / "cuts.jsonl.gz")
    assert cut.supervisions[0].tokens == vallex("Hello there.", "en").ids


def test_bad_texts_are_dropped_and_reported(vallex: VallexTokenizer) -> None:
    cuts = cuts_of(
        ("fine", "en"), ("...", "en"), ("(so)", "en"), ("؟؟", "en"), ("[ZH]你", "en"), (None, "zh")
    )
    kept, rows = tokenized(cuts, vallex)
    assert [cut.id for cut in kept] == ["cut-0", "cut-2"]
    reported = {row["id"]: row for row in rows}
    assert set(reported) == {"cut-1", "cut-2", "cut-3", "cut-4", "cut-5"}
    assert [row["id"] for row in rows if row["kept"]] == ["cut-2"]
    assert reported["cut-2"]["reason"] == "symbols outside the vocabulary: ( )"
    assert reported["cut-1"]["text"] == "..."
    assert "nothing" in reported["cut-1"]["reason"]
    assert "nothing" in reported["cut-3"]["reason"]
    assert "opens a span" in reported["cut-4"]["reason"]


def test_bad_texts_fail_where_asked(vallex: VallexTokenizer, espeak: EspeakTokenizer) -> None:
    with pytest.raises(ValueError, match=r"(?s)1 of 2 texts.*cut-1: '\.\.\.': nothing.*policy"):
        tokenized(cuts_of(("fine", "en"), ("...", "en")), vallex, policy="fail")
    with pytest.raises(ValueError, match=r"outside the vocabulary: .*ʒ"):
        tokenized(cuts_of(("vision", "en")), espeak, policy="fail")
    kept, rows = tokenized(cuts_of(("yes (no)", "en")), vallex, policy="fail")
    assert len(kept) == len(rows) == 1


def test_espeak_drops_what_has_no_id(espeak: EspeakTokenizer) -> None:
    kept, rows = tokenized(cuts_of(("vision", "en"), ("hello", "en")), espeak)
    assert [cut.id for cut in kept] == ["cut-1"]
    assert [row["kept"] for row in rows] == [False]


def test_few_cuts_at_a_time(vallex: VallexTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = cuts_of(*[("Hello there.", "en"), ("你好", "zh"), ("...", "en")] * 5)
    whole = tokenized(cuts, vallex)
    read = []
    monkeypatch.setattr("revoice.text.cuts.TOGETHER", 4)

    def reading() -> Iterator[Any]:
        for cut in cuts:
            read.append(cut.id)
            yield cut

    rows: list[dict[str, Any]] = []
    stream = tokenize_cuts(reading(), vallex, rows)
    found = [next(stream).id]
    assert len(read) == 4
    found += [cut.id for cut in stream]
    assert (found, rows) == ([cut.id for cut in whole[0]], whole[1])


def test_a_wrong_language_fails_under_either_policy(vallex: VallexTokenizer) -> None:
    with pytest.raises(ValueError, match="does not read"):
        tokenized(cuts_of(("bonjour", "fr")), vallex)
