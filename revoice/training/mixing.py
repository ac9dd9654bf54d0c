"""The order of training examples: every voice and corpus evenly all through an epoch."""

import json
import random
import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from revoice.files import scratch

GOLDEN = (5**0.5 - 1) / 2

# Of a speaker's n cuts, which are drawn, the i-th gets the place (i + u) / n with u below 1; sorted
# by it, a corpus is mixed. Its cuts, in this order, get their places among the corpora likewise.
ORDER = """
WITH
    spoken AS (SELECT id, corpus, (row_number() OVER of_voice - u) / count(*) OVER (
            PARTITION BY corpus, speaker) AS place
        FROM cuts WINDOW of_voice AS (PARTITION BY corpus, speaker ORDER BY draw)),
    placed AS (SELECT id, (row_number() OVER of_corpus - 0.5) / count(*) OVER (
            PARTITION BY corpus) AS place
        FROM spoken WINDOW of_corpus AS (PARTITION BY corpus ORDER BY place, id))
SELECT id FROM placed ORDER BY place, id
"""


def voice(cut: Cut) -> tuple[str, str]:
    """Whose cut this is: corpus, or nothing where the cut does not say, and speaker."""
    corpus, _, _ = ((cut.custom or {}).get("shard") or "").partition("/")
    return corpus, cut.supervisions[0].speaker or ""


def mix(cuts: Iterable[Cut], seed: int, folder: Path) -> Iterator[Cut]:
    """The cuts in an order in which each stretch has as much of each voice and corpus as the whole.

    Which cut of a voice comes when is drawn. They wait in a temporary file in `folder`, not in
    memory. The last one is read before the first is given.
    """
    rng = random.Random(seed)
    with (
        scratch(folder, "mix") as temporary,
        closing(sqlite3.connect(temporary / "cuts.sqlite")) as table,
    ):
        table.execute("PRAGMA journal_mode = OFF")
        table.execute("CREATE TABLE cuts (id INTEGER PRIMARY KEY, corpus, speaker, draw, u, cut)")
        rows = (
            (number, *voice(cut), rng.random(), rng.random(), json.dumps(cut.to_dict()))
            for number, cut in enumerate(cuts)
        )
        table.executemany("INSERT INTO cuts VALUES (?, ?, ?, ?, ?, ?)", rows)
        for number in table.execute(ORDER):
            (cut,) = table.execute("SELECT cut FROM cuts WHERE id = ?", number).fetchone()
            yield deserialize_item(json.loads(cut))


def times(seconds: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """How often corpora of so many seconds are said in an epoch to have their weights in it."""
    whole = sum(seconds.values()) / sum(weights[corpus] for corpus in seconds)
    return {corpus: weights[corpus] * whole / its for corpus, its in seconds.items()}


def repeat(cuts: Iterable[Cut], times: Mapping[str, float], rng: random.Random) -> Iterator[Cut]:
    """Each cut as often as its corpus is said: 2.5 times are twice and three times by turns."""
    owed: dict[str, float] = defaultdict(rng.random)
    for cut in cuts:
        corpus, _ = voice(cut)
        owed[corpus] += times[corpus]
        while owed[corpus] >= 1:
            owed[corpus] -= 1
            yield cut


def shuffle_voices(cuts: Iterable[Cut], buffer: int, rng: random.Random) -> Iterator[Cut]:
    """The cuts of each voice in another order, among `buffer` cuts; the voices as they come."""
    held: dict[tuple[str, str], list[Cut]] = defaultdict(list)
    voices: deque[tuple[str, str]] = deque()

    def draw() -> Cut:
        mine = held[voices.popleft()]
        place = rng.randrange(len(mine))
        mine[place], mine[-1] = mine[-1], mine[place]
        return mine.pop()

    for cut in cuts:
        voices.append(voice(cut))
        held[voices[-1]].append(cut)
        if len(voices) >= buffer:
            yield draw()
    while voices:
        yield draw()


def pack(cuts: list[Cut], seconds: float) -> Iterator[list[Cut]]:
    """Batches of successive cuts: the longest times their number is at most `seconds`.

    A cut that is longer is a batch by itself.
    """
    batch: list[Cut] = []
    longest = 0.0
    for cut in cuts:
        longest = max(longest, cut.duration)
        if batch and longest * (len(batch) + 1) > seconds:
            yield batch
            batch, longest = [], cut.duration
        batch.append(cut)
    if batch:
        yield batch


def batches(
    cuts: Iterable[Cut], seconds: float, stretch: float, buffer: int, rng: random.Random
) -> Iterator[list[Cut]]:
    """Batches of cuts of similar length, from one stretch of the cuts after another.

    Args:
        seconds: of a batch, as `pack` takes them.
        stretch: seconds of cuts that are sorted by length together; no more than `buffer` cuts.
            A batch that is not full waits for the next stretch.
    """
    held: list[Cut] = []
    total, rising = 0.0, True
    for cut in cuts:
        held.append(cut)
        total += cut.duration
        if total < stretch and len(held) < buffer:
            continue
        # the other way round each time, or the longest would wait to the end
        held.sort(key=lambda cut: cut.duration, reverse=not rising)
        *full, held = pack(held, seconds)
        yield from spread(full, rng.random())
        total, rising = sum(cut.duration for cut in held), not rising
    held.sort(key=lambda cut: cut.duration)
    yield from spread(list(pack(held, seconds)), rng.random())


def spread(batches: list[list[Cut]], start: float) -> list[list[Cut]]:
    """In an order whose every part has short and long ones; one for each `start`, 0 to 1."""
    # what is equally far apart stays so in each interval of the multiples of the golden ratio
    return [batches[i] for i in sorted(range(len(batches)), key=lambda i: (start + GOLDEN * i) % 1)]
