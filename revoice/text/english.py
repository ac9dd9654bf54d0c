"""English to IPA with the CMU pronouncing dictionary, as VALL-E X reads it."""

import re

from num2words import num2words
from text_unidecode import unidecode

# sic, "misess": what the published model was trained with.
WRITTEN_OUT = (
    "mr=mister mrs=misess dr=doctor drs=doctors st=saint co=company ltd=limited jr=junior "
    "maj=major gen=general rev=reverend lt=lieutenant hon=honorable sgt=sergeant capt=captain "
    "col=colonel esq=esquire ft=fort"
)
ABBREVIATIONS = dict(pair.split("=") for pair in WRITTEN_OUT.split())
ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.")
# An l with no vowel between it and the end of its word is dark.
DARK_L = re.compile(r"l(?=[^aeiouæɑɔəɛɪʊ ]*(?: |$))")

DOLLARS = ("dollar", "dollars", "cent", "cents")
POUNDS = ("pound", "pounds", "penny", "pence")

_ipa_of_word: dict[str, str] = {}  # a look-up in eng_to_ipa's database takes 10 ms


def english_to_ipa(text: str, mend: bool = False) -> str:
    """English text to IPA; a word that the dictionary lacks stays spelled, with a `*` after it.

    `mend` corrects what the original front end reads wrongly: "Mrs.", pounds, and hyphenated words
    that the dictionary has only in parts, such as "forty-two".
    """
    if mend:
        text = re.sub(r"£\s?(\d[\d,]*(?:\.\d+)?)", lambda match: _money(match[1], POUNDS), text)
    text = unidecode(text).lower()
    if mend:
        text = re.sub(r"\bmrs\.", "missus", text)
    text = ABBREVIATION.sub(lambda match: ABBREVIATIONS[match[1]], text)
    words = spell_numbers(text).split()
    if mend:
        spelled = {w for w, said in zip(words, _words_to_ipa(words), strict=True) if "*" in said}
        words = [part for w in words for part in (w.split("-") if w in spelled else [w])]
    ipa = DARK_L.sub("ɫ", re.sub(r"\s+", " ", " ".join(_words_to_ipa(words))))
    for sign, plain in (("r", "ɹ"), ("ʤ", "dʒ"), ("ʧ", "tʃ"), ("...", "…")):
        ipa = ipa.replace(sign, plain)
    return ipa


def spell_numbers(text: str) -> str:
    """Digits to words: "$2.50" to "two dollars, fifty cents", "21st" to "twenty-first"."""
    text = re.sub(r"\d[\d,]+\d", lambda match: match[0].replace(",", ""), text)
    text = re.sub(r"\$([\d.,]*\d+)", lambda match: _money(match[1], DOLLARS), text)
    text = re.sub(r"(\d+)\.(\d+)", r"\1 point \2", text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)", lambda match: _words(match[1], "ordinal"), text)
    return re.sub(r"\d+", lambda match: _cardinal(int(match[0])), text)


def _money(amount: str, units: tuple[str, str, str, str]) -> str:
    """ "2.50" to "2 dollars, 50 cents"; the cents are the digits after the point, as they stand."""
    whole, _, hundredths = amount.replace(",", "").partition(".")
    if "." in hundredths:
        return f"{amount} {units[1]}"
    parts = []
    for digits, one, many in ((whole, *units[:2]), (hundredths, *units[2:])):
        if number := int(digits or 0):
            parts.append(f"{number} {one if number == 1 else many}")
    return ", ".join(parts) or f"zero {units[1]}"


def _cardinal(number: int) -> str:
    """A number as it is said; 1001 to 2999 in pairs of digits, as years are."""
    if not 1000 < number < 3000 or number == 2000:
        return _words(number)
    century, year = divmod(number, 100)
    if century == 20 and year < 10:
        return f"two thousand {_words(year)}"
    if year == 0:
        return f"{_words(century)} hundred"
    return f"{_words(century)} {'oh ' * (year < 10)}{_words(year)}"


def _words(number: int | str, to: str = "cardinal") -> str:
    if len(str(number)) > 300:  # beyond num2words: digit by digit
        return " ".join(num2words(int(digit)) for digit in str(number))
    words: str = num2words(int(number), to=to)
    return words if to == "ordinal" else words.replace(" and ", " ")


def _words_to_ipa(words: list[str]) -> list[str]:
    """IPA of each word, with the punctuation around it."""
    from eng_to_ipa import ipa_list

    if new := sorted(set(words) - _ipa_of_word.keys()):
        # Of several pronunciations eng_to_ipa itself takes the last.
        _ipa_of_word.update(zip(new, (found[-1] for found in ipa_list(new)), strict=True))
    return [_ipa_of_word[word] for word in words]
