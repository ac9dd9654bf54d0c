"""Mandarin to IPA with tone arrows, as VALL-E X reads it: words, then Zhuyin, then IPA."""

import logging
import re

from revoice.files import PACKAGE, read_json

TABLES = read_json(PACKAGE / "text/mandarin.json")
# Zhuyin to IPA, a glide after labials that Zhuyin does not write, tones, punctuation.
IPA: dict[str, str] = TABLES["ipa"]
# The names of the Latin letters, as Mandarin speakers say them.
LETTERS: dict[str, str] = TABLES["letters"]
SIGN = re.compile("|".join(sorted(IPA, key=len, reverse=True)))  # the longest match first
HAN = re.compile(r"[\u4e00-\u9fff]")


def mandarin_to_ipa(text: str, mend: bool = False) -> str:
    """Mandarin text to IPA: `→ ↑ ↓↑ ↓` for the four tones, a space between words.

    `mend` corrects what the original front end reads wrongly or not at all: the vowel of a
    syllable such as "zi" in the neutral tone within a sentence, "1,000", "5%" and "〇".
    """
    if mend:
        text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).replace("〇", "零")
        text = re.sub(r"(\d+(?:\.\d+)?)[%％]", r"百分之\1", text)
    text = re.sub(r"\d+(?:\.?\d+)?", lambda match: spell_number(match[0]), text)
    text = _words_to_zhuyin(text)
    text = re.sub("[a-zA-Z]", lambda match: LETTERS[match[0].lower()], text)
    # Zhuyin writes no vowel in "shi" and "si".
    end = r"(?![ㄚ-ㄩ])" if mend else "(?=[ˉˊˇˋ ]|˙?(?: |$))"
    text = re.sub(f"([ㄓㄔㄕㄖ]){end}", r"\1ɻ", text)
    text = re.sub(f"([ㄗㄘㄙ]){end}", r"\1ɹ", text)
    text = SIGN.sub(lambda match: IPA[match[0]], text).replace("ɻ", "ɹ`")
    text = re.sub("i(?=[aoe])", "j", text)
    return re.sub("u(?=[aoəe])", "w", text)


def spell_number(number: str) -> str:
    """Digits with or without a decimal point to Chinese numerals: "12.5" to "十二点五"."""
    import cn2an

    try:
        return str(cn2an.an2cn(number))
    except ValueError:  # more than 16 digits: one by one
        return "".join("点" if sign == "." else str(cn2an.an2cn(sign)) for sign in number)


def _words_to_zhuyin(text: str) -> str:
    """Zhuyin with a tone on every syllable and a space before every word but the first."""
    import jieba
    from pypinyin import Style, lazy_pinyin

    jieba.setLogLevel(logging.WARNING)
    zhuyin = ""
    for word in jieba.cut(text):
        if not HAN.search(word):
            zhuyin += word
            continue
        # pypinyin leaves the first tone unmarked.
        syllables = lazy_pinyin(word, style=Style.BOPOMOFO)
        marked = (re.sub("(?<=[ㄅ-ㄩ])$", "ˉ", syllable) for syllable in syllables)
        zhuyin += " " * bool(zhuyin) + "".join(marked)
    return zhuyin
