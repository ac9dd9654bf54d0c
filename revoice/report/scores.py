"""The scores of an experiment as a reader sees them, and what their rows and columns mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from revoice.evaluation.scoring import LONG, MISSING
from revoice.files import atomic
from revoice.report.tables import made_by_lines


def read_scores(path: str | Path) -> pd.DataFrame:
    """`scores.csv`, where a number that stands in a column with reasons is a number again."""
    scores = pd.read_csv(path, keep_default_na=False)
    for column in ("wer", "wer_6", "similarity", "dnsmos", "seconds"):
        values = scores[column].tolist()
        scores[column] = [v if str(v).startswith(MISSING) else float(v) for v in values]
    return scores


def score_titles(summary: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """What stands above each column that is shown: its title, and what measured it."""
    by = summary.iloc[0]
    return {
        "clips": ("Clips", ""),
        "wer": ("WER %", by["wer_by"]),
        "wer_6": (f"WER %, {LONG} words or more", by["wer_by"]),
        "similarity": ("Speaker similarity", by["similarity_by"]),
        "dnsmos": ("DNSMOS", by["dnsmos_by"]),
        "seconds": ("Mean seconds", ""),
    }


def write_scores(summary: pd.DataFrame, made_by: Mapping[str, str], markdown: str | Path) -> None:
    """Write the table `scores.md`, with what its rows and columns mean and what made it.

    `summary` is as `read_scores` gives it, `made_by` is {what: which}, e.g. {"codec": ...}.
    """
    shown = pd.DataFrame({"": summary["row"]})
    for column, (title, by) in score_titles(summary).items():
        title = f"{title} ({by})" if by and column != "wer_6" else title
        shown[title] = [score_text(column, value) for value in summary[column]]
    aligned = ["left", *["right"] * (len(shown.columns) - 1)]
    lines = [shown.to_markdown(index=False, disable_numparse=True, colalign=aligned), ""]
    lines += [f"- {remark}" for remark in explanations(summary)]
    lines += made_by_lines(made_by)
    with atomic(markdown) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def score_text(column: str, value: Any) -> str:
    """A number of the summary as it is shown; a reason stays as it is."""
    if isinstance(value, str) or column == "clips":
        return str(value)
    return f"{100 * value:.1f}" if column.startswith("wer") else f"{value:.2f}"


def explanations(summary: pd.DataFrame) -> list[str]:
    """What the rows and columns of the summary mean, one sentence or two each, and its notes."""
    words, long = summary.iloc[0][["words", "words_6"]]
    return [
        "Recording: what the measures say of the human speaker. It is the ceiling: the recognizer's"
        " own mistakes are in it.",
        "Codec reconstruction: the recording through the codec and back. It is the ceiling of any"
        " synthesis from these codes.",
        "Synthesis: the text spoken by the model. A sentence without sound counts as all its words"
        " missed. Sentences without a recording are not in the table.",
        f"WER: word errors over all {words} words ({long} in sentences of {LONG} words or more),"
        " lower is better, above 100 is possible. Numbers and spellings are normalized on both"
        " sides. A recognizer's language model has little to go on in one or two words, so the"
        " second column is the steadier one.",
        "Speaker similarity: cosine between the clip and the prompt, another recording of the same"
        " speaker, 1 at most. DNSMOS: estimated quality, 1 to 5. Both are means over the clips.",
        *(f"{row['row']}: {row['notes']}" for _, row in summary.iterrows() if row["notes"]),
    ]
