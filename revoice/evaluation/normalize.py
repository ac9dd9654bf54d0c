"""Words as they are spoken, so that a transcript and its text can be compared word by word.

Both sides of a word error rate go through `normalize`: "Press 1 for the D.T.M.F. menu" and
"press one for the dtmf menu" become the same words. What remains ambiguous is settled the same
way on both sides: four figures without a separator are read like a year or an extension
("twelve thirty four"), five or more figure by figure.
"""

import re
import unicodedata
from functools import partial
from itertools import groupby, pairwise

from num2words import num2words

from revoice.files import PACKAGE, read_json

# Symbols that are read out, currencies with their parts, and short forms that have one reading.
ENGLISH = read_json(PACKAGE / "evaluation/english.json")
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALES = "hundred|thousand|million|billion|trillion"
_NUMBERS = [*range(20), *range(20, 100, 10)]
_UNITS = [num2words(n) for n in _NUMBERS]
_COUNTED = "|".join(_UNITS + [num2words(n, to="ordinal") for n in _NUMBERS[1:]])


def normalize(text: str, language: str = "en") -> list[str]:
    """The words of a text, lower case, without punctuation, numbers written out.

    English has rules for ordinals, money, times, decades, letters spelled out ("D T M F",
    "D.T.M.F." and "DTMF" are one word), "o'clock", hyphens, possessives and some spellings; text
    in square or angle brackets is a remark, not speech. Other languages have their figures
    written out by `num2words` where it knows them. Chinese and Japanese, written without
    spaces, give one "word" per character.
    """
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'").replace("‘", "'")
    text = re.sub(r"\[[^]]*\]|<[^>]*>", " ", text)
    if language.split("-")[0] == "en":
        return _english(text)
    text = re.sub(r"\d+(?:[.,]\d+)?", lambda number: _spoken(number[0], language), text)
    text = re.sub(r"[^\w\s]|_", " ", text)
    if language.split("-")[0] in {"zh", "ja"}:
        return list("".join(text.split()))
    return text.split()


def join_compounds(hypothesis: list[str], reference: list[str]) -> list[str]:
    """The hypothesis with its compounds written as in the reference.

    "voice mail" becomes "voicemail" where the reference has that word, and the other way round.
    Only the hypothesis changes, so that every hypothesis is counted against the same words.
    """
    words = set(reference)
    pairs = {first + second: [first, second] for first, second in pairwise(reference)}
    joined: list[str] = []
    position = 0
    while position < len(hypothesis):
        word, both = hypothesis[position], "".join(hypothesis[position : position + 2])
        if word in words:
            joined.append(word)
        elif both in words:
            joined.append(both)
            position += 1
        else:
            joined += pairs.get(word, [word])
        position += 1
    return joined


def _english(text: str) -> list[str]:
    text = re.sub(r"\bo'\s?clock\b|\boh? clock\b", "oclock", text)
    text = re.sub(r"\b(?:[a-z]\.\s?)+[a-z](?:\.|\b)", lambda s: re.sub(r"[.\s]", "", s[0]), text)
    address = r"\b(?:[\w-]+\.)+(?:com|org|net|edu|gov)\b"
    text = re.sub(address, lambda name: name[0].replace(".", " dot "), text)
    for symbol, names in ENGLISH["currencies"].items():
        amount = rf"{re.escape(symbol)}\s?({_NUMBER})(?:\s({_SCALES})\b)?"
        text = re.sub(amount, partial(_money, names=names), text)
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b(\s?[ap]\.?m\b)?", _time, text)
    text = re.sub(rf"({_NUMBER})(?:st|nd|rd|th)\b", lambda n: _ordinal(n[1]), text)
    text = re.sub(r"\b(\d{1,3}0)'?s\b", lambda n: re.sub(r"y$", "ie", _figures(n[1])) + "s", text)
    text = re.sub(rf"(?:(?<=\s)|^)[-−](?={_NUMBER})", "minus ", text)
    text = re.sub(_NUMBER, lambda n: f" {_figures(n[0])} ", text)
    for symbol, name in ENGLISH["symbols"].items():
        text = text.replace(symbol, f" {name} ")
    text = re.sub(r"(?<=\w)'(?=\w)|(?<=s)'(?=\s|$)", "", text)  # don't, party's, parties'
    text = re.sub(r"[^\w\s]|_", " ", text)
    text = " ".join(text.split())
    # "one hundred and five" and "one hundred five", "a hundred" and "one hundred"
    text = re.sub(rf"\b({_SCALES}) and (?=(?:{_COUNTED})\b)", r"\1 ", text)
    text = re.sub(rf"\b(dollars?|pounds?|euros?) and (?=(?:{_COUNTED})\b)", r"\1 ", text)
    text = re.sub(rf"\ba (?=(?:{_SCALES})\b)", "one ", text)
    return _letters_joined([ENGLISH["spellings"].get(word, word) for word in text.split()])


def _letters_joined(words: list[str]) -> list[str]:
    """Runs of single letters as one word, unless they may be the words "a" and "i" alone."""
    joined: list[str] = []
    for single, run in groupby(words, lambda word: len(word) == 1 and word.isalpha()):
        together = list(run)
        joined += ["".join(together)] if single and set(together) - {"a", "i"} else together
    return joined


def _figures(number: str) -> str:
    """An English number in words: "1,200", "28.8", "1999", "0042"."""
    whole, _, decimals = number.partition(".")
    plain = whole.replace(",", "")
    if plain == whole and (len(plain) > 4 or (len(plain) > 1 and plain[0] == "0")):
        words = " ".join(_UNITS[int(figure)] for figure in plain)
    elif plain == whole and len(plain) == 4 and not decimals:
        words = num2words(int(plain), to="year")
    else:
        words = num2words(int(plain))
    if decimals:
        words += " point " + " ".join(_UNITS[int(figure)] for figure in decimals)
    return words.replace("-", " ").replace(",", "")


def _ordinal(number: str) -> str:
    return num2words(int(number.replace(",", "").partition(".")[0]), to="ordinal").replace("-", " ")


def _money(found: re.Match[str], names: tuple[str, str]) -> str:
    (unit, part), number, scale = names, found[1], found[2]
    whole, _, decimals = number.partition(".")
    if scale or len(decimals) not in {0, 2}:
        return f"{_figures(number)} {scale or ''} {unit}s"
    words = f"{_figures(whole)} {unit}" + ("s" if int(whole.replace(",", "")) != 1 else "")
    if decimals and int(decimals):
        parts = {"penny": "pence"}.get(part, part + "s") if int(decimals) != 1 else part
        words += f" {num2words(int(decimals))} {parts}"
    return words


def _time(found: re.Match[str]) -> str:
    hour, minute, half = num2words(int(found[1])), found[2], found[3] or ""
    if minute == "00":
        return f"{hour} {half}" if half else f"{hour} oclock"
    past = f"oh {num2words(int(minute))}" if minute[0] == "0" else num2words(int(minute))
    return f"{hour} {past} {half}"


def _spoken(number: str, language: str) -> str:
    """A number in words of a language; the figures themselves where num2words lacks it."""
    try:
        return f" {num2words(number.replace(',', '.'), lang=language.replace('-', '_'))} "
    except (NotImplementedError, ValueError, ArithmeticError):
        return number
