"""Sentences of WordNet, Jane Austen and the World English Bible, clean enough to be read aloud."""

import bz2
import lzma
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from revoice.files import RESOURCES
from revoice.synthetic.packages import read_deb

UNWANTED = RESOURCES / "synthetic" / "unwanted.txt"
MOST_WORDS = 30
RARE = 3  # words in fewer sentences are names and Latin, which no two readers say alike
TITLES = {"Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "St": "Saint"}
SIGNS = str.maketrans({"“": "", "”": "", '"': "", "`": "", "_": "", "’": "'", "‘": "'"})
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]*[A-Z])")
PLAIN = re.compile(r"[A-Z][A-Za-z' ,;:!?-]*[.!?]")
# What was cut off from its speech ("Emma said."), and letters that stand for words.
FRAGMENT = re.compile(
    r"(?i)(\b(said|cried|replied|exclaimed|answered|added|saying|continued|resumed|says)\.$"
    r"|^(chapter|volume|psalm|genus|finis|the end\b)|\b(i e|e g|etc|viz|cf)\b"
    r"|\b(rev|esq|capt|col|gen|hon|no|jun|sen)\.$)"
)
CAPITALS = re.compile(r"\b(?![IAO]\b)[A-Z]{2,}\b|\b(?![IAOio]\b|a\b)[A-Za-z]\b(?!')")


def read_sentences(packages: dict[str, Path]) -> dict[str, list[str]]:
    """Clean sentences by source, each list in alphabetical order; none in two of them.

    Args:
        packages: the `.deb` files by package.
    """
    found: dict[str, set[str]] = {}
    wordnet = list(_wordnet(packages["wordnet-base"]))
    raw = {
        "wordnet examples": (text for kind, text in wordnet if kind == "example"),
        "wordnet definitions": (text for kind, text in wordnet if kind == "definition"),
        "austen": _austen(packages["r-cran-janeaustenr"]),
        "bible": _bible(packages["sword-text-web"]),
    }
    unwanted = read_unwanted()
    seen: set[str] = set()
    for source, texts in raw.items():
        clean = {sentence for text in texts if (sentence := clean_sentence(text, unwanted))}
        found[source] = clean - seen
        seen |= clean
    uses = Counter(word for sentence in seen for word in set(_words(sentence)))
    return {
        source: sorted(s for s in sentences if all(uses[word] >= RARE for word in _words(s)))
        for source, sentences in found.items()
    }


def read_unwanted(path: Path = UNWANTED) -> re.Pattern[str]:
    """A pattern of the words that keep a sentence out; `word*` stands for all that begin so."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    words = [re.escape(w).replace(r"\*", r"\w*") for w in lines if w and not w.startswith("#")]
    return re.compile(rf"(?i)\b(?:{'|'.join(words)})\b")


def clean_sentence(text: str, unwanted: re.Pattern[str]) -> str | None:
    """A sentence with its signs mended, a capital first and a full stop; None: it is left out.

    Left out are fragments, abbreviations, figures, single letters, unwanted words, and what is
    of one word or more than 30.
    """
    text = re.sub(r"—|--+", ", ", _titles_spoken(text).translate(SIGNS))
    text = re.sub(r"\s+([,.;:!?])", r"\1", " ".join(text.split()))
    text = re.sub(r"[,;:]+(?=[,;:.!?])", "", text).strip(" '-,;:")
    if not text:
        return None
    text = text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
    words = text.split()
    if not PLAIN.fullmatch(text) or not 2 <= len(words) <= MOST_WORDS:
        return None
    if max(map(len, words)) > 18 or FRAGMENT.search(text) or CAPITALS.search(text):
        return None
    return None if unwanted.search(text) else text


def _words(sentence: str) -> list[str]:
    return re.findall(r"[a-z']+", sentence.lower())


def _wordnet(package: Path) -> Iterator[tuple[str, str]]:
    """Examples and definitions: `data.*` have them after a bar, examples in quotation marks."""
    kinds = [f"/wordnet/data.{kind}" for kind in ("noun", "verb", "adj", "adv")]
    for content in read_deb(package, *kinds).values():
        for line in content.decode("latin1").splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            gloss = line.split("|", 1)[1]
            for example in re.findall(r'"([^"]+)"', gloss):
                if len(example.split()) >= 3:
                    yield "example", example
            gloss = re.sub(r"\([^)]*\)", "", re.sub(r'"[^"]*"', "", gloss))
            for part in gloss.split(";"):
                if len(part.split()) >= 3 and not re.search(r"[()]", part):
                    yield "definition", part


def _austen(package: Path) -> Iterator[str]:
    """Sentences of the novels, which an R database holds line by line."""
    (content,) = read_deb(package, "janeaustenr/data/Rdata.rdb").values()
    for book in _r_values(content):
        lines = [_r_text(match, book) for match in R_STRING.finditer(book)]
        for paragraph in "\n".join(lines).split("\n\n"):
            yield from _split(paragraph)


R_STRING = re.compile(rb"\x00[\x00\x04][\x00\x80]\x09(\x00\x00[\x00-\x03].)", re.S)  # CHARSXP


def _r_text(match: re.Match[bytes], book: bytes) -> str:
    length = int.from_bytes(match[1], "big")
    return book[match.end() : match.end() + length].decode("utf-8", "replace")


def _r_values(content: bytes) -> Iterator[bytes]:
    """What an R database holds: each value after its length, in one of three compressions."""
    offset = 0
    while offset < len(content):
        length = struct.unpack_from(">I", content, offset)[0]
        kind = content[offset + 4 : offset + 5]
        if kind == b"2":
            decoder: Any = bz2.BZ2Decompressor()
            start = offset + 5
        elif kind == b"Z":
            decoder, start = lzma.LZMADecompressor(), offset + 5
        else:
            decoder, start = zlib.decompressobj(), offset + 4
        value = decoder.decompress(content[start:])
        if len(value) != length:
            raise ValueError(f"the R database is broken at byte {offset}")
        yield value
        offset = len(content) - len(decoder.unused_data)


def _bible(package: Path) -> Iterator[str]:
    """Sentences of the Bible: a file of compressed books, and one that says where each lies."""
    files = read_deb(package, ".bzz", ".bzs")
    for path in (path for path in files if path.endswith(".bzz")):
        books, index = files[path], files[path.removesuffix("z") + "s"]
        for start, size, _ in struct.iter_unpack("<III", index):
            if size:
                text = zlib.decompress(books[start : start + size]).decode("utf-8", "replace")
                text = re.sub(r"<note.*?</note>", "", text, flags=re.S)
                text = re.sub(r"<title.*?</title>", "\n\n", text, flags=re.S)
                yield from _split(re.sub(r"<[^>]+>", " ", text))


def _split(text: str) -> Iterator[str]:
    """The sentences of paragraphs, without those that begin within a sentence."""
    for paragraph in re.split(r"\n\s*\n", text):
        sentences = SENTENCE_END.split(_titles_spoken(" ".join(paragraph.split())))
        yield from (s for s in sentences if re.match(r"[\"'“‘(]*[A-Z]", s))


def _titles_spoken(text: str) -> str:
    return re.sub(r"\b(Mr|Mrs|Dr|St)\.(?= )", lambda title: TITLES[title[1]], text)
