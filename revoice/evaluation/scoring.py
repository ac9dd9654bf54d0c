"""Tables of many clips: word error rate, speaker similarity, DNSMOS and duration."""

import logging
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jiwer
import pandas as pd
from joblib import Parallel, delayed

from revoice.config import ScoreConfig
from revoice.evaluation.measures import MEASURES, measure_clip
from revoice.evaluation.normalize import join_compounds, normalize
from revoice.evaluation.recognizers import Choice
from revoice.files import TEXTS

MISSING = "not available: "  # where a number would be, before the reason
LONG = 6  # words from which on a sentence counts in `wer_6`
KINDS = {
    "recording": "Recording",
    "reconstruction": "Codec reconstruction",
    "synthesis": "Synthesis",
}
ABOUT = ["id", "text", "language", "speaker", "prompt_id", "prompt"]
COLUMNS = [*ABOUT, *KINDS]
CLIPS = [*ABOUT, "kind", "wav", "transcript", "similarity", "dnsmos", "duration", "notes", "words"]
CLIPS += ["errors", "heard_by"]

log = logging.getLogger(__name__)


def read_sentences(path: str | Path) -> pd.DataFrame:
    """A table of sentences or of clips: what may look like a number, or missing, is text in it."""
    texts = dict.fromkeys(("id", "text", "speaker", "prompt_id"), str)
    return pd.read_csv(path, dtype=texts, **TEXTS)


def score_sentences(
    sentences: pd.DataFrame,
    config: ScoreConfig,
    threads: int = 1,
    choice: Choice | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every sentence as recording, codec reconstruction and synthesis.

    Args:
        sentences: one row per synthesis with the columns `COLUMNS`; of several with the same id
            the recording and its reconstruction are measured once. `prompt`, `recording`,
            `reconstruction` and `synthesis` are paths of audio files, empty where there is
            none; other columns (`seed`, `ended`, `frames`) are of the synthesis, and go with it.
        threads: processes that measure clips side by side; they change no result.
        choice: what `recognizer: whisper` has come to: see `choose_recognizer`.

    Returns:
        Clips, one row each (see `measure_clip` for its numbers; `words` and `errors` are those of
        the word error rate, `heard_by` names the recognizer, `notes` says what could not be
        measured and why), and the summary of `summarize`.

    Raises ValueError for a missing column or choice, FileNotFoundError for a file that a row names.
    """
    by = measured_by(config, choice)
    if missing := [column for column in COLUMNS if column not in sentences.columns]:
        raise ValueError(f"the table of sentences lacks the columns {', '.join(missing)}")
    repeated = sentences["id"].duplicated()
    rows = [
        _clip(sentence, kind)
        for again, (_, sentence) in zip(repeated, sentences.iterrows(), strict=True)
        for kind in KINDS
        if kind == "synthesis" or not again
    ]
    for row in rows:
        for path in (row["wav"], row["prompt"]):
            if path and not Path(path).is_file():
                raise FileNotFoundError(f"{path}, of sentence {row['id']!r}, does not exist")
    log.info("heard by %(heard_by)s (%(heard_reason)s)", by)
    started = time.perf_counter()
    whisper = choice["folder"] if choice else None
    measured = Parallel(n_jobs=threads)(
        delayed(measure_clip)(row["wav"], row["language"], row["prompt"], config, whisper)
        for row in rows
    )
    seconds = time.perf_counter() - started
    log.info("%d clips in %.1f s, %.2f s each", len(rows), seconds, seconds / max(len(rows), 1))
    both = zip(rows, measured, strict=True)
    counted = [_counted(row | values, by["heard_by"]) for row, values in both]
    clips = pd.DataFrame(counted, columns=None if counted else CLIPS)
    return clips, summarize(clips, config, by)


def word_errors(text: str, transcript: str, language: str = "en") -> tuple[int, int]:
    """Errors (substitutions, deletions, insertions) and words of a text, both sides normalized."""
    reference = normalize(text, language)
    if not reference:
        return 0, 0
    hypothesis = join_compounds(normalize(transcript, language), reference)
    counts = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return counts.substitutions + counts.deletions + counts.insertions, len(reference)


def summarize(clips: pd.DataFrame, config: ScoreConfig, by: Mapping[str, str]) -> pd.DataFrame:
    """One row per kind over the sentences that have a recording.

    Columns: `row`; `clips`, those that exist; `wer`, all errors over all words; `wer_6`, the same
    over sentences of six words or more; `similarity`, `dnsmos` and `duration`, means over the
    clips; `ended`, the share of syntheses that the AR ended, None for other kinds; `words` and
    `words_6` behind the error rates; those of `measured_by`; `notes`. A measure without a number
    says "not available: " and why.
    """
    recorded = clips.loc[(clips["kind"] == "recording") & (clips["wav"] != ""), "id"]
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
                "duration": _mean(of_kind, "duration", "duration"),
                "ended": _share_ended(of_kind) if kind == "synthesis" else None,
                "words": int(heard["words"].sum()),
                "words_6": int(long["words"].sum()),
                **by,
                "notes": _remarks(of_kind),
            }
        )
    return pd.DataFrame(rows)


def measured_by(config: ScoreConfig, choice: Choice | None = None) -> dict[str, str]:
    """What is behind the columns, and why it is that recognizer.

    {"heard_by": "pocketsphinx 5.1.1", "heard_reason": "as configured", "similarity_by": ...}

    Raises ValueError for `recognizer: whisper` without a choice.
    """
    named = {"similarity_by": config.similarity, "dnsmos_by": config.dnsmos}
    by = {column: _with_version(package) for column, package in named.items()}
    if config.recognizer != "whisper":
        return {"heard_by": _with_version(config.recognizer), "heard_reason": "as configured"} | by
    if choice is None:
        raise ValueError("`recognizer: whisper` needs the choice of a model")
    heard_by = choice["describe"] if choice["folder"] else _with_version("pocketsphinx")
    return {"heard_by": heard_by, "heard_reason": choice["reason"]} | by


def _clip(sentence: pd.Series, kind: str) -> dict[str, Any]:
    """The columns of one clip that are known before it is measured."""
    texts = {c: _text(sentence[c]) for c in ("id", "text", "language", "speaker", "prompt_id")}
    carried = {
        c: sentence[c] if kind == "synthesis" else "" for c in sentence.index if c not in COLUMNS
    }
    # a recording compared with itself would look like a perfect voice
    prompt = "" if texts["prompt_id"] == texts["id"] else _text(sentence["prompt"])
    return texts | {"prompt": prompt, "kind": kind, "wav": _text(sentence[kind])} | carried


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _counted(row: dict[str, Any], recognizer: str) -> dict[str, Any]:
    """A clip with its word errors, who heard it, and its notes as one line."""
    transcript, notes = row["transcript"], row["notes"]
    heard_by = "" if transcript is None else recognizer
    if not row["wav"] and row["kind"] == "synthesis":
        transcript, notes = "", {"synthesis": "no sound, so all words count as missed"}
    errors, words = word_errors(row["text"], transcript or "", row["language"])
    told = "; ".join(f"{measure}: {reason}" for measure, reason in notes.items())
    counts = {"words": words, "errors": None if transcript is None else errors}
    return row | {"notes": told, **counts, "heard_by": heard_by}


def _rate(heard: pd.DataFrame, of_kind: pd.DataFrame, wanted: str | None) -> float | str:
    # a kind whose clips were never heard has no rate, even if missing clips count as errors
    known = of_kind["transcript"].notna().any() and heard["words"].sum()
    rate = heard["errors"].sum() / heard["words"].sum() if known else None
    return _or_reason(rate, of_kind, "transcript", wanted)


def _mean(of_kind: pd.DataFrame, measure: str, wanted: str | None) -> float | str:
    values = of_kind[measure].dropna()
    return _or_reason(values.mean() if len(values) else None, of_kind, measure, wanted)


def _share_ended(of_kind: pd.DataFrame) -> float | None:
    if "ended" not in of_kind or of_kind.empty:
        return None
    return round(float(of_kind["ended"].astype(bool).mean()), 4)


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
        f"{measure} of {count} of {len(of_kind)} clips: {reason}"
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
