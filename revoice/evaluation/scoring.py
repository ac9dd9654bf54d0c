"""Tables of many clips: word error rate, speaker similarity, DNSMOS and duration."""

import logging
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jiwer
import pandas as pd
from joblib import Parallel, delayed

from revoice.config import ScoreConfig
from revoice.evaluation.measures import MEASURES, measure_clip
from revoice.evaluation.normalize import join_compounds, normalize

MISSING = "not available: "  # where a number would be, before the reason
LONG = 6  # words from which on a sentence counts in `wer_6`
KINDS = {
    "recording": "Recording",
    "reconstruction": "Codec reconstruction",
    "synthesis": "Synthesis",
}
COLUMNS = ["id", "text", "language", "speaker", "prompt_id", "prompt", *KINDS]

log = logging.getLogger(__name__)


def score_sentences(
    sentences: pd.DataFrame, config: ScoreConfig, threads: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every sentence as recording, codec reconstruction and synthesis.

    Args:
        sentences: one row per sentence with the columns `COLUMNS`. `prompt`, `recording`,
            `reconstruction` and `synthesis` are paths of audio files, empty where there is
            none; other columns (`ended`, `frames`) are carried along.
        threads: processes that measure clips side by side; they change no result.

    Returns:
        Clips, one row per sentence and kind (see `measure_clip` for its numbers; `words` and
        `errors` are those of the word error rate, `notes` says what could not be measured and
        why), and the summary of `summarize`.

    Raises ValueError for a missing column, FileNotFoundError for a file that a row names.
    """
    if missing := [column for column in COLUMNS if column not in sentences.columns]:
        raise ValueError(f"the table of sentences lacks the columns {', '.join(missing)}")
    rows = [_clip(sentence, kind) for _, sentence in sentences.iterrows() for kind in KINDS]
    for row in rows:
        for path in (row["wav"], row["prompt"]):
            if path and not Path(path).is_file():
                raise FileNotFoundError(f"{path}, of sentence {row['id']!r}, does not exist")
    started = time.perf_counter()
    measured = Parallel(n_jobs=threads)(
        delayed(measure_clip)(row["wav"], row["language"], row["prompt"], config) for row in rows
    )
    seconds = time.perf_counter() - started
    log.info("%d clips in %.1f s, %.2f s each", len(rows), seconds, seconds / max(len(rows), 1))
    clips = pd.DataFrame([_counted(r | values) for r, values in zip(rows, measured, strict=True)])
    return clips, summarize(clips, config)


def word_errors(text: str, transcript: str, language: str = "en") -> tuple[int, int]:
    """Errors (substitutions, deletions, insertions) and words of a text, both sides normalized."""
    reference = normalize(text, language)
    if not reference:
        return 0, 0
    hypothesis = join_compounds(normalize(transcript, language), reference)
    counts = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return counts.substitutions + counts.deletions + counts.insertions, len(reference)


def summarize(clips: pd.DataFrame, config: ScoreConfig) -> pd.DataFrame:
    """One row per kind over the sentences that have a recording.

    Columns: `row`; `clips`, those that exist; `wer`, all errors over all words; `wer_6`, the same
    over sentences of six words or more; `similarity`, `dnsmos` and `seconds`, means over the
    clips; `words`, `words_6`; `wer_by`, `similarity_by`, `dnsmos_by`, the packages with their
    versions; `notes`. A measure without a number says "not available: " and why.
    """
    recorded = clips.loc[(clips["kind"] == "recording") & (clips["wav"] != ""), "id"]
    by = measured_by(config)
    rows = []
    for kind, title in KINDS.items():
        of_kind = clips[(clips["kind"] == kind) & clips["id"].isin(recorded)]
        heard = of_kind[of_kind["errors"].notna()]
        long = heard[heard["words"] >= LONG]
        rows.append(
            {
                "row": title,
                "clips": int((of_kind["wav"] != "").sum()),
                "wer": _rate(heard, of_kind, config.recognizer),
                "wer_6": _rate(long, of_kind, config.recognizer),
                "similarity": _mean(of_kind, "similarity", config.similarity),
                "dnsmos": _mean(of_kind, "dnsmos", config.dnsmos),
                "seconds": _mean(of_kind, "seconds", "duration"),
                "words": int(heard["words"].sum()),
                "words_6": int(long["words"].sum()),
                **by,
                "notes": _remarks(of_kind),
            }
        )
    return pd.DataFrame(rows)


def measured_by(config: ScoreConfig) -> dict[str, str]:
    """The packages behind the columns, with versions: {"wer_by": "pocketsphinx 5.1.1", ...}."""
    recognizer = "faster-whisper" if config.recognizer == "whisper" else config.recognizer
    named = {"wer_by": recognizer, "similarity_by": config.similarity, "dnsmos_by": config.dnsmos}
    by = {column: _with_version(package) for column, package in named.items()}
    if config.recognizer == "whisper":
        by["wer_by"] += f", {Path(str(config.whisper_model)).name}"
    return by


def _clip(sentence: pd.Series, kind: str) -> dict[str, Any]:
    """The columns of one clip that are known before it is measured."""
    texts = {c: _text(sentence[c]) for c in ("id", "text", "language", "speaker", "prompt_id")}
    carried = {c: sentence[c] for c in sentence.index if c not in COLUMNS}
    # a recording compared with itself would look like a perfect voice
    prompt = "" if texts["prompt_id"] == texts["id"] else _text(sentence["prompt"])
    return texts | {"prompt": prompt, "kind": kind, "wav": _text(sentence[kind])} | carried


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """A clip with its word errors and its notes as one line."""
    transcript, notes = row["transcript"], row["notes"]
    if not row["wav"] and row["kind"] == "synthesis":
        transcript, notes = "", {"synthesis": "no sound, so all words count as missed"}
    errors, words = word_errors(row["text"], transcript or "", row["language"])
    told = "; ".join(f"{measure}: {reason}" for measure, reason in notes.items())
    return row | {"notes": told, "words": words, "errors": None if transcript is None else errors}


def _rate(heard: pd.DataFrame, of_kind: pd.DataFrame, wanted: str | None) -> float | str:
    # a kind whose clips were never heard has no rate, even if missing clips count as errors
    known = of_kind["transcript"].notna().any() and heard["words"].sum()
    rate = heard["errors"].sum() / heard["words"].sum() if known else None
    return _or_reason(rate, of_kind, "transcript", wanted)


def _mean(of_kind: pd.DataFrame, measure: str, wanted: str | None) -> float | str:
    values = of_kind[measure].dropna()
    return _or_reason(values.mean() if len(values) else None, of_kind, measure, wanted)


def _or_reason(
    value: float | None, of_kind: pd.DataFrame, measure: str, wanted: str | None
) -> float | str:
    """A number with four decimals, or what is said in its place."""
    if wanted is None:
        return MISSING + "switched off"
    if value is not None:
        return round(float(value), 4)
    if not (of_kind["wav"] != "").any():
        return MISSING + "no clips"
    return MISSING + next(iter(_reasons(of_kind, measure).index), "no words to compare")


def _reasons(of_kind: pd.DataFrame, measure: str) -> pd.Series:
    """How often each reason stands in the notes for a measure, most frequent first."""
    return of_kind["notes"].str.extract(rf"(?:^|; ){measure}: ([^;]*)")[0].value_counts()


def _remarks(of_kind: pd.DataFrame) -> str:
    """What a reader of the summary must know: clips left out of a number, and why."""
    return "; ".join(
        f"{measure} of {count} of {len(of_kind)} sentences: {reason}"
        for measure in (*MEASURES, "synthesis")
        for reason, count in _reasons(of_kind, measure).items()
    )


def _with_version(package: str | None) -> str:
    if package is None:
        return "switched off"
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package}, not installed"
