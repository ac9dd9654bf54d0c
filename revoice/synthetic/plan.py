"""Which sentence each voice reads: drawn by a seed, none twice, none that is held out."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from revoice.config import CorpusConfig
from revoice.evaluation.normalize import normalize
from revoice.synthetic.parts import parts_of
from revoice.synthetic.templates import filled, read_templates

IN_A_ROW = 6  # words of a held-out line that no sentence may share
LONG_WORDS = 15  # from here on a sentence is long
LONG_SHARE = 0.08
SOURCES = {"wordnet examples": 30, "wordnet definitions": 25, "austen": 27, "bible": 18}
TRIES = 10_000  # templates in a row that were all there before
SPARE = 1.5  # so much more text than fits, in place of what is left out
TEMPLATES = "templates"


class Line(NamedTuple):
    """One utterance to be spoken; `path` below the corpus's audio names its voice and part."""

    path: str
    text: str
    speaker: str
    language: str
    source: str


class HeldOut:
    """What must not be spoken: texts as a whole, and lines of which no six words in a row."""

    def __init__(self, texts: Iterable[str], lines: Iterable[str]) -> None:
        lines = [line for line in lines if line.strip()]
        self.texts = {key(text) for text in [*texts, *lines]}
        self.runs = {run for line in lines for run in _runs(normalize(line))}

    def __contains__(self, text: str) -> bool:
        words = normalize(text)
        return "".join(words) in self.texts or any(run in self.runs for run in _runs(words))


def key(text: str) -> str:
    """What makes two texts the same: letters and figures, numbers as words."""
    return "".join(normalize(text))


def _runs(words: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - IN_A_ROW + 1):
        yield tuple(words[start : start + IN_A_ROW])


def plan(corpus: CorpusConfig, sentences: dict[str, list[str]], held_out: HeldOut) -> list[Line]:
    """The utterances of all parts of a corpus, with half as many more as their minutes need.

    Args:
        sentences: clean sentences by source.

    Raises ValueError where there are not enough for the minutes.
    """
    texts = _drawn(corpus, sentences, held_out)
    lines = []
    for part in parts_of(corpus):
        left, number = SPARE * part.seconds + 10, 0
        while left > 0:
            try:
                source, text = next(texts)
            except StopIteration:
                total = sum(corpus.voices.values())
                raise ValueError(
                    f"there are not enough sentences for {total:g} minutes: lower `voices`"
                ) from None
            path = f"{part.name}/{number:03d}"
            lines.append(Line(path, text, part.voice, "en", source))
            left, number = left - expected_seconds(text), number + 1
    return lines


def expected_seconds(text: str) -> float:
    """How long a text takes to say, roughly."""
    return 0.4 + len(text) / 17


def _drawn(
    corpus: CorpusConfig, sentences: dict[str, list[str]], held_out: HeldOut
) -> Iterator[tuple[str, str]]:
    """(Source, text) as the seed has it, until sentences of ordinary length are at an end."""
    rng = random.Random(corpus.seed)
    pools: dict[tuple[str, bool], list[str]] = {}
    for source, texts in sentences.items():
        for long in (False, True):
            pool = [text for text in texts if (len(text.split()) >= LONG_WORDS) == long]
            rng.shuffle(pool)
            pools[source, long] = pool
    templates, seen = filled(rng, read_templates()), set[str]()

    def fresh(texts: Iterable[str]) -> str | None:
        for text in texts:
            if (same := key(text)) and same not in seen and text not in held_out:
                seen.add(same)
                return text
        return None

    while any(pool for (_, long), pool in pools.items() if not long):
        if rng.random() < corpus.templates:
            source, text = TEMPLATES, fresh(islice(templates, TRIES))
        else:
            long = rng.random() < LONG_SHARE
            left = [name for name in sentences if pools[name, long]]
            if not left:
                continue
            source = rng.choices(left, [SOURCES[name] for name in left])[0]
            text = fresh(_popped(pools[source, long]))
        if text:
            yield source, text


def _popped(pool: list[str]) -> Iterator[str]:
    while pool:
        yield pool.pop()
