"""Mandarin to IPA with tone arrows, as VALL-E X reads it: words, then Zhuyin, then IPA."""

import logging
import re

# Zhuyin to IPA, the longest match first.
IPA = {
    # finals of two signs
    "ㄧㄢ": "jɛn", "ㄧㄣ": "in", "ㄧㄥ": "iŋ", "ㄨㄥ": "ʊŋ",
    "ㄩㄝ": "ɥɛ", "ㄩㄢ": "ɥæn", "ㄩㄣ": "ɥn", "ㄩㄥ": "jʊŋ",
    # a glide after labials that Zhuyin does not write
    "ㄅㄛ": "p⁼wo", "ㄆㄛ": "pʰwo", "ㄇㄛ": "mwo", "ㄈㄛ": "fwo",
    # initials
    "ㄅ": "p⁼", "ㄆ": "pʰ", "ㄇ": "m", "ㄈ": "f", "ㄉ": "t⁼", "ㄊ": "tʰ", "ㄋ": "n", "ㄌ": "l",
    "ㄍ": "k⁼", "ㄎ": "kʰ", "ㄏ": "x", "ㄐ": "tʃ⁼", "ㄑ": "tʃʰ", "ㄒ": "ʃ",
    "ㄓ": "ts`⁼", "ㄔ": "ts`ʰ", "ㄕ": "s`", "ㄖ": "ɹ`", "ㄗ": "ts⁼", "ㄘ": "tsʰ", "ㄙ": "s",
    # finals
    "ㄚ": "a", "ㄛ": "o", "ㄜ": "ə", "ㄝ": "ɛ", "ㄞ": "aɪ", "ㄟ": "eɪ", "ㄠ": "ɑʊ", "ㄡ": "oʊ",
    "ㄢ": "an", "ㄣ": "ən", "ㄤ": "ɑŋ", "ㄥ": "əŋ", "ㄦ": "əɻ", "ㄧ": "i", "ㄨ": "u", "ㄩ": "ɥ",
    # tones
    "ˉ": "→", "ˊ": "↑", "ˇ": "↓↑", "ˋ": "↓", "˙": "",
    # punctuation
    "，": ",", "、": ",", "；": ",", "：": ",", "。": ".", "！": "!", "？": "?", "—": "-",
}  # fmt: skip

# The names of the Latin letters, as Mandarin speakers say them.
LETTERS = {
    "a": "ㄟˉ", "b": "ㄅㄧˋ", "c": "ㄙㄧˉ", "d": "ㄉㄧˋ", "e": "ㄧˋ", "f": "ㄝˊㄈㄨˋ", "g": "ㄐㄧˋ",
    "h": "ㄝˇㄑㄩˋ", "i": "ㄞˋ", "j": "ㄐㄟˋ", "k": "ㄎㄟˋ", "l": "ㄝˊㄛˋ", "m": "ㄝˊㄇㄨˋ",
    "n": "ㄣˉ", "o": "ㄡˉ", "p": "ㄆㄧˉ", "q": "ㄎㄧㄡˉ", "r": "ㄚˋ", "s": "ㄝˊㄙˋ", "t": "ㄊㄧˋ",
    "u": "ㄧㄡˉ", "v": "ㄨㄧˉ", "w": "ㄉㄚˋㄅㄨˋㄌㄧㄡˋ", "x": "ㄝˉㄎㄨˋㄙˋ", "y": "ㄨㄞˋ",
    "z": "ㄗㄟˋ",
}  # fmt: skip

SIGN = re.compile("|".join(sorted(IPA, key=len, reverse=True)))
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
        syllables = [
            re.sub("(?<=[ㄅ-ㄩ])$", "ˉ", syllable)
            for syllable in lazy_pinyin(word, style=Style.BOPOMOFO)
        ]
        zhuyin += " " * bool(zhuyin) + "".join(syllables)
    return zhuyin
