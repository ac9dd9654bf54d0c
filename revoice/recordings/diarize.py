"""Who speaks: segments of unknown speakers told apart by their embeddings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

RELIABLE = 1.6  # seconds: the voice encoder hears so much at a time, and knows a shorter one badly
MOST = 5000  # segments that are clustered, whose distances take 100 MB; the rest follows them
TINY_SHARE, TINY_SECONDS = 0.02, 10.0  # whoever speaks less than both is no speaker
SAMPLES = 3  # segments that show who a speaker is
SAMPLE_SECONDS = (2.0, 8.0)  # as long as a listener needs, and no longer

Embeddings = NDArray[np.floating]
Labels = NDArray[np.int64]


def tell_apart(
    embeddings: Embeddings,
    seconds: ArrayLike,
    threshold: float,
    speakers: int | None = None,
    seed: int = 1,
) -> Labels:
    """Which speaker each segment is of: 0 speaks longest; of two that speak as long, the first.

    Segments of 1.6 s and more are clustered: average linkage of the cosine distance, up to
    `threshold`. Shorter ones go to the nearest speaker. Of more than 5000, so many are drawn and
    clustered, and the others follow them. Whoever has less than 2 % of the time, and less than
    10 s, is counted with the nearest speaker, unless `speakers` is given.

    Args:
        embeddings: (segments, 256) of length 1, in order of time; a row of zeros where no voice
            was found: it gets the label of the nearest row that has one, of two the one before, so
            that every segment has a speaker.
        seconds: (segments,), how long each is.
        threshold: the cosine distance from which on two voices are two, above 0 and below 2.
        speakers: how many there are, where that is known; then `threshold` says nothing. Fewer are
            found where fewer segments have a voice.
        seed: of the draw.

    Returns (segments,) int64 labels from 0 without a gap. Raises ValueError where there are not as
    many seconds as embeddings, or where `speakers` is below 1.
    """
    lengths = np.asarray(seconds, np.float64)
    if len(embeddings) != len(lengths):
        raise ValueError(f"{len(embeddings)} embeddings, but the seconds of {len(lengths)}")
    if speakers is not None and speakers < 1:
        raise ValueError(f"speakers: {speakers} is less than one")
    heard = np.flatnonzero(np.any(embeddings, axis=1))
    labels = np.zeros(len(embeddings), np.int64)
    if len(heard):
        voices = embeddings[heard].astype(np.float32)
        labels[heard] = _of_voices(voices, lengths[heard], threshold, speakers, seed)
        labels = labels[_nearest_row(heard, len(labels))]
    return _ranked(labels, lengths)


def speakers_table(
    embeddings: Embeddings,
    labels: Labels,
    seconds: ArrayLike,
    recordings: Sequence[str],
    begins: ArrayLike,
    ends: ArrayLike,
) -> pd.DataFrame:
    """What tells a person who is who, one row per speaker.

    Args:
        embeddings: (segments, 256), as they were given to `tell_apart`.
        labels: (segments,), as it gave them.
        seconds, begins, ends: (segments,) in seconds.
        recordings: what each segment's recording is called.

    Returns the columns `speaker` (speaker-1, …), `minutes`, `segments` (how many) and `samples`:
    three segments, "recording begin-end; …", those nearest to the speaker's centre that last 2 to
    8 s; others only where there are too few.
    """
    lengths = np.asarray(seconds, np.float64)
    spans = list(zip(recordings, np.asarray(begins), np.asarray(ends), strict=True))
    rows = []
    for label in range(labels.max(initial=-1) + 1):
        of = np.flatnonzero(labels == label)
        typical = of[_by_typicality(embeddings[of].astype(np.float32), lengths[of])]
        rows.append(
            {
                "speaker": f"speaker-{label + 1}",
                "minutes": round(lengths[of].sum() / 60, 2),
                "segments": len(of),
                "samples": "; ".join("{} {:.2f}-{:.2f}".format(*spans[i]) for i in typical),
            }
        )
    return pd.DataFrame(rows, columns=["speaker", "minutes", "segments", "samples"])


def _of_voices(
    embeddings: Embeddings,
    seconds: NDArray[np.float64],
    threshold: float,
    speakers: int | None,
    seed: int,
) -> Labels:
    """Labels of segments that all have a voice, in any order."""
    firm = np.flatnonzero(seconds >= RELIABLE)
    if len(firm) < (speakers or 1):
        firm = np.arange(len(seconds))
    reliable = embeddings[firm]
    drawn = np.arange(len(firm))
    if len(firm) > MOST:
        drawn = np.random.default_rng(seed).choice(len(firm), MOST, replace=False)
    clusters = _clusters(reliable[drawn], threshold, speakers)
    found = _nearest(reliable, _centres(reliable[drawn], clusters))
    found[drawn] = clusters
    if speakers is None:
        found = _without_tiny(reliable, found, seconds[firm])
    labels = _nearest(embeddings, _centres(reliable, found))
    labels[firm] = found
    return labels


def _clusters(embeddings: Embeddings, threshold: float, speakers: int | None) -> Labels:
    from sklearn.cluster import AgglomerativeClustering  # half a second that only this needs

    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.int64)
    number = None if speakers is None else min(speakers, len(embeddings))
    clustering = AgglomerativeClustering(
        n_clusters=number,
        distance_threshold=threshold if number is None else None,
        metric="cosine",
        linkage="average",
    )
    return clustering.fit_predict(embeddings).astype(np.int64)


def _without_tiny(embeddings: Embeddings, labels: Labels, seconds: NDArray[np.float64]) -> Labels:
    """Labels, from 0 again, in which the tiny have become part of those that are nearest."""
    each = np.bincount(labels, seconds)
    tiny = (each < TINY_SHARE * each.sum()) & (each < TINY_SECONDS)
    if tiny.all():  # everybody says little
        return labels
    centres = _centres(embeddings, labels)
    return _nearest(centres, centres[~tiny])[labels]


def _centres(embeddings: Embeddings, labels: Labels) -> Embeddings:
    """(labels, 256): the mean of each, of length 1."""
    sums = np.zeros((labels.max() + 1, embeddings.shape[1]))
    np.add.at(sums, labels, embeddings)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def _nearest(embeddings: Embeddings, centres: Embeddings) -> Labels:
    """Which centre each is nearest to."""
    return (embeddings @ centres.T).argmax(axis=1)


def _nearest_row(rows: Labels, number: int) -> Labels:
    """For each of `number` rows the nearest of some that are in order."""
    every = np.arange(number)
    after = np.searchsorted(rows, every).clip(max=len(rows) - 1)
    before = (after - 1).clip(min=0)
    nearer = np.abs(rows[before] - every) <= np.abs(rows[after] - every)
    return rows[np.where(nearer, before, after)]


def _ranked(labels: Labels, seconds: NDArray[np.float64]) -> Labels:
    """The same speakers, numbered by how long they speak, then by who speaks first."""
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    each = np.bincount(numbers, seconds, minlength=len(first))
    rank = np.empty(len(first), np.int64)
    rank[np.lexsort((first, -each))] = np.arange(len(first))
    return rank[numbers]


def _by_typicality(embeddings: Embeddings, seconds: NDArray[np.float64]) -> Labels:
    """Which of a speaker's segments to listen to, three at most."""
    centre = embeddings.sum(axis=0)
    shortest, longest = SAMPLE_SECONDS
    unfit = (seconds < shortest) | (seconds > longest)
    return np.lexsort((-(embeddings @ centre), unfit))[:SAMPLES]
