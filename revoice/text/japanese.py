"""Japanese to IPA with pitch accents, as VALL-E X reads it: Open JTalk's labels, then IPA."""

import re
from itertools import pairwise

from text_unidecode import unidecode

# What Open JTalk reads; the signs between are punctuation.
WORDS = re.compile(
    r"([A-Za-z\d\u3005\u3040-\u30ff\u4e00-\u9fff\uff11-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9d]+)"
)
# The phone; the mora's distance from the accent, its place in the phrase from front and back.
LABEL = re.compile(r"-(?P<phone>[^+]*)\+.*/A:(?P<fall>[^+]+)\+(?P<front>[^+]+)\+(?P<back>[^/]+)/")

# Open JTalk's phones to IPA where they differ, some only before a certain vowel.
IPA = {
    "u": "ɯ", "I": "i*", "U": "ɯ*",  # the capitals are devoiced
    "sh": "ʃ", "ch": "tʃ", "j": "dʑ", "f": "ɸ", "fy": "ɸj", "r": "ɾ", "ry": "ɾj",
    "ny": "n^", "hy": "ç", "n i": "n^", "h i": "ç", "cl": "Q",
}  # fmt: skip
MORA_ENDS = {"a", "i", "u", "e", "o", "A", "I", "U", "E", "O", "N", "cl"}
# What the first half of a geminate and the moraic nasal become, by the sound that follows.
ASSIMILATION = {
    "Q": (("[kg]", "k#"), ("[td]", "t#"), ("[sʃ]", "s"), ("[pb]", "p#")),
    "N": (("[pbm]", "m"), ("tʃ|dʑ", "n^"), ("[tdn]", "n"), ("[kg]", "ŋ")),
}


def japanese_to_ipa(text: str, mend: bool = False) -> str:
    """Japanese text to IPA: `↑` and `↓` where the pitch moves, a space between accent phrases.

    `mend` keeps an accent phrase of one mora whole, which the original front end breaks in two.
    """
    ipa = ""
    for piece in WORDS.split(text.replace("％", "パーセント")):
        if WORDS.fullmatch(piece):
            ipa += " " * bool(ipa) + _phrase_to_ipa(piece, mend)
        else:
            ipa += "".join(unidecode(sign).replace(" ", "") for sign in piece)
    return ipa.replace("...", "…")


def _phrase_to_ipa(text: str, mend: bool) -> str:
    import pyopenjtalk

    labels = [LABEL.search(label) for label in pyopenjtalk.extract_fullcontext(text)]
    ipa = ""
    for label, following in pairwise(labels):
        if label is None or following is None:
            raise RuntimeError(f"Open JTalk gives a label of an unknown form for {text!r}")
        phone, next_phone = label["phone"], following["phone"]
        if phone in ("sil", "pau"):
            continue
        ipa += IPA.get(f"{phone} {next_phone}") or IPA.get(phone) or phone.replace("y", "j")
        if next_phone in ("sil", "pau") or (mend and phone not in MORA_ENDS):
            continue
        front, next_front = int(label["front"]), int(following["front"])
        if label["back"] == "1" and next_front == 1:
            ipa += " "
        elif label["fall"] == "0" and next_front == front + 1:
            ipa += "↓"
        elif front == 1 and next_front == 2:
            ipa += "↑"
    for mora, sounds in ASSIMILATION.items():
        for before, sound in sounds:
            ipa = re.sub(f"{mora}(?=[↑↓]?(?:{before}))", sound, ipa)
    return ipa
