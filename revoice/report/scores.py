"""The scores of an experiment as a reader sees them, and what their rows and columns mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from revoice.evaluation.scoring import LONG, MISSING
from revoice.report.tables import NOTES, write_markdown


def read_scores(path: str | Path) -> pd.DataFrame:
    """`scores.csv`, where a number that stands in a column with reasons is a number again."""
    scores = pd.read_csv(path, keep_default_na=False)
    for column in ("wer", "wer_6", "similarity", "dnsmos", "duration", "ended"):
        values = scores[column].astype(object)
        scores[column] = [v if str(v).startswith(MISSING) or v == "" else float(v) for v in values]
    return scores


def score_titles(summary: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """What stands above each column that is shown: its title, and what measured it."""
    by = summary.iloc[0]
    return {
        "clips": ("Clips", ""),
        "words": ("Words", ""),
        "wer": ("WER %", by["heard_by"]),
        "wer_6": (f"WER %, {LONG} words or more", by["heard_by"]),
        "similarity": ("Speaker similarity", by["similarity_by"]),
        "dnsmos": ("DNSMOS", by["dnsmos_by"]),
        "duration": ("Mean seconds", ""),
        "ended": ("Ended %", ""),
    }


def write_scores(summary: pd.DataFrame, made_by: Mapping[str, str], markdown: str | Path) -> None:
    """Write the table `scores.md` of `read_scores`, with what it means and what made it."""
    shown = pd.DataFrame({"": summary["row"]})
    for column, (title, by) in score_titles(summary).items():
        title = f"{title} ({by})" if by and column != "wer_6" else title
        shown[title] = [score_text(column, value) for value in summary[column]]
    aligned = ["left", *["right"] * (len(shown.columns) - 1)]
    lines = [shown.to_markdown(index=False, disable_numparse=True, colalign=aligned), ""]
    write_markdown(markdown, lines, explanations(summary), {**made_by, **made_recognizer(summary)})


def made_recognizer(summary: pd.DataFrame) -> dict[str, str]:
    """What heard the clips, and why it did, as it stands under tables."""
    by = summary.iloc[0]
    return {"recognizer": f"{by['heard_by']}; {by['heard_reason']}"}


def made_decoder(spoken: pd.DataFrame) -> dict[str, str]:
    """What made sound of codes, of a table of sentences or clips; nothing where the codec did."""
    named = spoken["decoder"].dropna() if "decoder" in spoken else pd.Series(dtype=str)
    return {"decoder": named.iloc[0]} if len(named) else {}


def score_text(column: str, value: Any) -> str:
    """A number of the summary as it is shown; a reason stays as it is, "–" says that none fits."""
    if isinstance(value, str) or column in {"clips", "words"}:
        return str(value) or "–"
    return f"{100 * value:.1f}" if column.startswith(("wer", "ended")) else f"{value:.2f}"


def explanations(summary: pd.DataFrame) -> list[str]:
    """What the rows and columns of the summary mean, one sentence or two each, and its notes."""
    meanings = [note.format(**summary.iloc[0], long=LONG) for note in NOTES["scores"]]
    return meanings + [f"{r['row']}: {r['notes']}" for _, r in summary.iterrows() if r["notes"]]
