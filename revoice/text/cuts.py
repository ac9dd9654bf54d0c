"""Tokens for the cuts of a corpus, and a report of the texts that give none."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

from lhotse.cut import Cut
from lhotse.utils import fastcopy

from revoice.text import Tokenizer, Tokens

log = logging.getLogger(__name__)

TOGETHER = 1000  # cuts in memory


def tokenize_cuts(
    cuts: Iterable[Cut],
    tokenizer: Tokenizer,
    report: list[dict[str, Any]],
    policy: Literal["drop", "fail"] = "drop",
) -> Iterator[Cut]:
    """Add tokens to cuts, a thousand at a time, and report texts that are not converted wholly.

    A text is bad if nothing of it can be spoken (it is empty, or only punctuation and symbols
    outside the vocabulary), if a symbol has no id, or if a tag is not closed. A bad text is
    dropped, or raises, as `policy` says. The vocabulary of `vallex` has an id for unknown
    symbols, with which the published model was trained: a text that has some among others is
    reported, and kept under either policy.

    Args:
        report: gets a row `{"id": str, "text": str, "reason": str, "kept": bool}` for each of them.

    Yields:
        The cuts in their order, with `tokens` (list of int), `token_languages` (list of str, one
        per token), `phonemes` (str) and `tokenizer` (str, its name and digest) in the
        supervision's `custom`.

    Raises:
        ValueError: after all of them, bad texts under `fail`; under either policy a language that
            the tokenizer does not read, and a cut without exactly one supervision.
    """
    source, number, dropped = iter(cuts), 0, []
    while some := list(islice(source, TOGETHER)):
        number += len(some)
        tokenized, rows = _tokenized(some, tokenizer)
        report += rows
        dropped += [row for row in rows if not row["kept"]]
        yield from tokenized
    if dropped and policy == "fail":
        shown = "\n".join(f"  {r['id']}: {r['text']!r}: {r['reason']}" for r in dropped[:20])
        more = f"\n  and {len(dropped) - 20} more" if len(dropped) > 20 else ""
        raise ValueError(
            f"{len(dropped)} of {number} texts cannot be converted:\n{shown}{more}\n"
            "Correct them, or set `text: {policy: drop}` to leave them out."
        )


def _tokenized(cuts: list[Cut], tokenizer: Tokenizer) -> tuple[list[Cut], list[dict[str, Any]]]:
    """Those of the cuts that are kept, with their tokens, and the rows of the report."""
    for cut in cuts:
        if len(cut.supervisions) != 1:
            raise ValueError(
                f"cut {cut.id} has {len(cut.supervisions)} supervisions; it needs exactly one"
            )
    said = [cut.supervisions[0] for cut in cuts]
    texts = [(each.text or "", each.language or "") for each in said]
    converted, made_by = _convert(texts, tokenizer), _identity(tokenizer)
    kept = []
    rows: list[dict[str, Any]] = []
    for cut, supervision, (text, _), tokens in zip(cuts, said, texts, converted, strict=True):
        reason, bad = judge(tokens, tokenizer.unknown)
        if reason:
            rows.append({"id": cut.id, "text": text, "reason": reason, "kept": not bad})
        if bad or isinstance(tokens, str):
            continue
        custom = {
            **(supervision.custom or {}),
            "tokens": tokens.ids,
            "token_languages": tokens.languages,
            "phonemes": "".join(tokens.symbols),
            "tokenizer": made_by,
        }
        kept.append(fastcopy(cut, supervisions=[fastcopy(supervision, custom=custom)]))
    for row in rows:
        log.warning("%s %s: %s", row["id"], "kept" if row["kept"] else "dropped", row["reason"])
    return kept, rows


def check_tokens(cut: Cut, tokenizer: Tokenizer) -> None:
    """Raise ValueError where a cut's tokens are another tokenizer's.

    Cuts of an earlier version do not say whose they are, and are accepted.
    """
    expected = _identity(tokenizer)
    for supervision in cut.supervisions:
        stored = (supervision.custom or {}).get("tokenizer", expected)
        if stored != expected:
            raise ValueError(
                f"The text of cut {cut.id} was tokenized with {stored}, but the tokenizer is "
                f"{expected}: the same id would mean another sound. Tokenize the text again."
            )


def _identity(tokenizer: Tokenizer) -> str:
    return f"{tokenizer.name}:{tokenizer.digest()}"


def _convert(texts: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> list[Tokens | str]:
    """The tokens of (text, language) pairs, or why there are none."""
    converted: list[Tokens | str] = [""] * len(texts)
    for language in dict.fromkeys(language for _, language in texts):
        tokenizer.read_as(language)  # a wrong language is no matter of single texts
        places = [place for place, text in enumerate(texts) if text[1] == language]
        results: Sequence[Tokens | str]
        try:
            results = tokenizer.batch([texts[place][0] for place in places], language)
        except ValueError:  # one by one, to learn which
            results = [_convert_one(texts[place], tokenizer) for place in places]
        for place, result in zip(places, results, strict=True):
            converted[place] = result
    return converted


def _convert_one(text: tuple[str, str], tokenizer: Tokenizer) -> Tokens | str:
    try:
        return tokenizer.batch([text[0]], text[1])[0]
    except ValueError as error:
        return str(error)


def judge(tokens: Tokens | str, unknown: int) -> tuple[str, bool]:
    """What there is to report of a text, "" if nothing, and whether that makes it bad.

    `tokens` may be why there are none; `unknown` is the id of symbols outside the vocabulary.
    """
    if isinstance(tokens, str):
        return tokens, True
    pairs = list(zip(tokens.symbols, tokens.ids, strict=True))
    known = [symbol for symbol, i in pairs if i != unknown]
    outside = sorted({symbol for symbol, i in pairs if i == unknown})
    if not any(sign.isalpha() for symbol in known for sign in symbol):
        return " ".join(["nothing of the text can be spoken", *outside]), True
    if outside:
        return f"symbols outside the vocabulary: {' '.join(outside)}", unknown < 0
    return "", False
