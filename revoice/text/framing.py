"""Texts as parts of one, as a model reads them in training and in synthesis."""

from collections.abc import Sequence
from typing import Literal


def frame(
    texts: Sequence[tuple[Sequence[int], Sequence[str]]],
    separator: Sequence[int] = (),
    ends: Sequence[int] = (),
    language: Literal["before", "after"] = "before",
) -> list[tuple[list[int], list[str]]]:
    """Each text with what stands around it; the whole is all of them, one after the other.

    Args:
        texts: token ids, and a language per token, of each; none is empty.
        separator: token ids between two texts; they come with the later one.
        ends: token ids before and after the whole, with the language of the token beside them.
        language: whose language a separator has: of the token before it, or after it.
    """
    framed: list[tuple[list[int], list[str]]] = []
    for ids, languages in texts:
        between = separator if framed else ()
        beside = framed[-1][1][-1] if framed and language == "before" else languages[0]
        framed.append(([*between, *ids], [*[beside] * len(between), *languages]))
    (first, of_first), (last, of_last) = framed[0], framed[-1]
    first[:0], of_first[:0] = ends[:1], of_first[:1] * len(ends[:1])
    last += ends[1:]
    of_last += of_last[-1:] * len(ends[1:])
    return framed


def frame_lengths(
    lengths: Sequence[Sequence[int]], separator: Sequence[int] = (), ends: Sequence[int] = ()
) -> list[list[int]]:
    """Lengths of each symbol of texts, as of the framed ones: what stands around them has none."""
    none = [0] * len(separator), [0] * len(ends)
    return [framed for framed, _ in frame([(each, [""] * len(each)) for each in lengths], *none)]
