"""A transcript of a whole recording, dealt out to the segments that it is spoken in.

The words that were recognised say where in time those are that are given; the given spelling wins.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jiwer

from revoice.evaluation.normalize import normalize

UNSPACED = {"zh", "ja"}  # languages whose words are not told apart by spaces
ENDS = tuple(".!?…,;:。！？，；：、")  # after which a pause is likelier than elsewhere
CLOSING = "\"'”’»)]"


class Part(NamedTuple):
    """What of a transcript is said in a segment, and the share of it that was recognised."""

    text: str
    matched: float


def deal_out(text: str, heard: Sequence[str], language: str) -> list[Part]:
    """What of a recording's transcript is said in each segment, whose recognised texts are given.

    Words that were recognised (levenshtein alignment of normalized words) go where they were heard,
    those between them with the words that they follow, up to the end of a phrase; all of the
    transcript is dealt out. A segment in which none of it was recognised gets "".
    """
    bare = language.split("-")[0]
    tokens = _tokens(text, bare)
    words = [
        (word, token) for token, written in enumerate(tokens) for word in normalize(written, bare)
    ]
    said = [(word, segment) for segment, each in enumerate(heard) for word in normalize(each, bare)]
    places: list[int | None] = [None] * len(tokens)
    equal = [0] * len(heard)
    for mine, other, same in _aligned([w for w, _ in words], [w for w, _ in said]):
        where, segment = words[mine][1], said[other][1]
        if places[where] is None:
            places[where] = segment
        equal[segment] += same
    filled = _filled(tokens, places)
    texts: list[list[str]] = [[] for _ in heard]
    for token, place in zip(tokens, filled, strict=True):
        if place is not None:
            texts[place].append(token)
    given = Counter(filled[token] for _, token in words)  # words of each segment
    recognised = Counter(segment for _, segment in said)
    space = "" if bare in UNSPACED else " "
    return [
        Part(space.join(of_it), equal[i] / max(given[i], recognised[i], 1))
        for i, of_it in enumerate(texts)
    ]


def _tokens(text: str, language: str) -> list[str]:
    """Words with their punctuation; of a language without spaces, signs with theirs."""
    if language not in UNSPACED:
        return text.split()
    tokens: list[str] = []
    for sign in "".join(text.split()):
        if tokens and not sign.isalnum():
            tokens[-1] += sign
        else:
            tokens.append(sign)
    return tokens


def _aligned(given: Sequence[str], heard: Sequence[str]) -> Iterator[tuple[int, int, bool]]:
    """Pairs of a given and a heard word that stand for each other, and whether they are equal."""
    if not given or not heard:
        return
    (chunks,) = jiwer.process_words(" ".join(given), " ".join(heard)).alignments
    for chunk in chunks:
        if chunk.type in {"equal", "substitute"}:
            mine = range(chunk.ref_start_idx, chunk.ref_end_idx)
            other = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
            for pair in zip(mine, other, strict=True):
                yield *pair, chunk.type == "equal"


def _filled(tokens: Sequence[str], places: Sequence[int | None]) -> list[int | None]:
    """The segments of all words, those between recognised ones with these."""
    filled = list(places)
    known = [i for i, place in enumerate(places) if place is not None]
    if not known:
        return filled
    filled[: known[0]] = [places[known[0]]] * known[0]
    for i, after in zip(known, [*known[1:], len(tokens)], strict=True):
        following = places[after] if after < len(tokens) else places[i]
        run = range(i + 1, after)
        # a phrase that has ended is over; of one that has not, what follows is part of it
        ends = [j for j in range(i, after) if tokens[j].rstrip(CLOSING).endswith(ENDS)]
        last = ends[-1] if ends and following != places[i] else after
        for j in run:
            filled[j] = places[i] if j <= last else following
    return filled
