"""The page to proofread segments on: it plays them, and saves what was written as `labels.tsv`."""

import hashlib
import json
import math
import os
import re
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import pandas as pd

from revoice.files import atomic
from revoice.html import rendered

TEXTS = ("recording", "audio", "text", "speaker", "language", "reason", "status", "labelled")
TIMES = ("begin", "end")
NUMBERS = {  # column -> title, decimals, what the number is multiplied by, unit
    "confidence": ("Confidence", 2, 1, ""),
    "dnsmos": ("DNSMOS", 2, 1, ""),
    "snr": ("SNR", 0, 1, "\u202fdB"),
    "bandwidth": ("Band", 1, 0.001, "\u202fkHz"),
    "clipping": ("Clipped", 2, 100, "\u202f%"),
    "rate": ("Rate", 1, 1, "/s"),
}
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


def write_labels_page(table: pd.DataFrame, title: str, path: Path) -> None:
    """Write the page, one file that needs nothing but the audio that it plays.

    Args:
        table: a row for each segment, also for those that `labels.tsv` has already: what is saved
            there takes the place of the old file. Columns: `recording` (as in `labels.tsv`),
            `audio` (path of its WAV relative to the page's folder), `begin` and `end` in seconds,
            `text`, `speaker`, `language`, `confidence` (0 to 1), `dnsmos`, `snr` in dB, `bandwidth`
            in Hz, `clipping` (share of samples), `rate` in symbols per second, `reason` why it is
            left out ("" where it is not), `status` ("", "ok" or "bad") and `labelled` (the speaker)
            that `labels.tsv` gives it. A number may be NaN.
        title: of the corpus. A browser keeps what was not saved yet under this name, together with
            a digest of the recordings, begins and ends.
        path: of the page.

    Raises:
        KeyError: a column is missing.
    """
    about = {"title": title, "summary": _summary(table), "data": _data(table, title)}
    with atomic(path) as temporary:
        temporary.write_text(rendered("recordings", "labels.html.j2", **about), "utf-8")


def _data(table: pd.DataFrame, title: str) -> dict[str, Any]:
    """What the page's script reads: values by row, with what they are kept under."""
    columns: dict[str, list[Any]] = {c: [_text(value) for value in table[c]] for c in TEXTS}
    columns |= {c: [_number(value) for value in table[c]] for c in (*TIMES, *NUMBERS)}
    columns["audio"] = [_address(audio) for audio in columns["audio"]]
    spans = list(zip(*(columns[c] for c in ("recording", *TIMES)), strict=True))
    digest = hashlib.sha256(json.dumps(spans).encode()).hexdigest()[:16]
    return {
        "key": f"revoice labels {title} {digest} ",
        "columns": list(columns),
        "rows": list(zip(*columns.values(), strict=True)),
        "numbers": [(column, *shown) for column, shown in NUMBERS.items()],  # in order
    }


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _number(value: Any) -> float | None:
    """JSON has no NaN, and no infinity either."""
    return float(value) if not pd.isna(value) and math.isfinite(value) else None


def _address(path: str) -> str:
    """A relative path as a link: a name may have what means something else in one."""
    return quote(os.fsencode(PurePath(path).as_posix())) if path else ""


def _summary(table: pd.DataFrame) -> dict[str, Any]:
    """Numbers of segments and minutes, kept and left out, and how many for which reason."""
    reasons = table["reason"].map(_text)
    minutes = (table["end"] - table["begin"]) / 60
    out = reasons != ""
    return {
        "segments": _grouped(len(table)),
        "kept": f"{minutes[~out].sum():.1f}",
        "out": _grouped(int(out.sum())),
        "out_minutes": f"{minutes[out].sum():.1f}",
        "reasons": [
            (reason, _grouped(count))
            for reason, count in reasons[out].map(_kind).value_counts().items()
        ],
    }


def _kind(reason: str) -> str:
    """A reason without the number that was measured, its first: dnsmos … is below 2.6."""
    return NUMBER.sub("…", reason, count=1)


def _grouped(count: int) -> str:
    """Thousands apart, as in 13 824."""
    return f"{count:,}".replace(",", "\u202f")
