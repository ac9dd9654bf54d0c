"""The tables to read, made of numbers alone: the same files, byte for byte."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from revoice.report.scores import made_decoder, read_scores, write_scores
from revoice.report.tables import write_tables

EXPECTED = Path(__file__).parent / "expected"
MADE_BY = {
    "data": "small: 20 train, 3 dev, 4 test cuts",
    "codec": "world (codes of 8 x 1024 at 37.5 Hz, sha256 01234567); asked for",
    "tokenizer": "vallex (sha256 89abcdef)",
    "checkpoint": "results/tiny/model.safetensors (sha256 00112233)",
}


def evaluation() -> dict[str, Any]:
    """evaluation.json of a model with three quantizers."""

    def figures(part: int, split: int, quantizer: int = 0) -> dict[str, Any]:
        loss = part + split / 3 + quantizer / 7
        return {"loss": loss, "top10_accuracy": 1 / (1 + loss), "positions": 10 * (1 + split)}

    splits = {split: place for place, split in enumerate(("train", "dev", "test"))}
    per_quantizer = {
        split: {"quantizers": {str(q): figures(2, place, q) for q in (1, 2, 3)}}
        for split, place in splits.items()
    }
    return {
        "ar": {split: figures(1, place) for split, place in splits.items()},
        "nar": {split: figures(2, p) | per_quantizer[split] for split, p in splits.items()},
        "made_by": MADE_BY,
    }


def scores() -> pd.DataFrame:
    """scores.csv as it is written: numbers, and reasons where there are none."""
    columns = ["row", "clips", "wer", "wer_6", "similarity", "dnsmos", "duration", "ended"]
    silent = "not available: silence: no voice to compare"
    rows = [
        ("Recording", 4, 0.125, 0.0, 0.8125, "not available: switched off", 1.5, None),
        ("Codec reconstruction", 4, 0.25, 0.1667, 0.7, "not available: switched off", 1.0, None),
        ("Synthesis", 0, 1.0, 1.0, silent, "not available: switched off", 2.3333, 0.95),
    ]
    table = pd.DataFrame(rows, columns=columns)
    by = {"heard_by": "whisper base (sha256 d01c3014)", "heard_reason": "as configured"}
    by |= {"similarity_by": "resemblyzer 0.1.4"}
    notes = ["", "", "similarity of 4 of 4 sentences: silence: no voice to compare"]
    return table.assign(words=16, words_6=12, **by, dnsmos_by="switched off", notes=notes)


def test_tables_of_the_losses(tmp_path: Path) -> None:
    write_tables(evaluation(), tmp_path / "table.md", tmp_path / "table.csv")
    for name in ("table.md", "table.csv"):
        assert (tmp_path / name).read_text("utf-8") == (EXPECTED / name).read_text("utf-8")


def test_table_of_the_scores(tmp_path: Path) -> None:
    scores().to_csv(tmp_path / "scores.csv", index=False)
    made_by = MADE_BY | {"data": "4 sentences, results/tiny/sentences.csv"}
    write_scores(read_scores(tmp_path / "scores.csv"), made_by, tmp_path / "scores.md")
    written = (tmp_path / "scores.md").read_text("utf-8")
    assert written == (EXPECTED / "scores.md").read_text("utf-8")
    assert "nan" not in written.lower()


def test_the_decoder_is_named_where_it_is_not_the_codec() -> None:
    spoken = pd.DataFrame({"id": ["a", "b"]})
    assert made_decoder(spoken) == {}
    vocos = "vocos (sha256 01234567)"
    assert made_decoder(spoken.assign(decoder=[None, vocos])) == {"decoder": vocos}
    assert made_decoder(spoken.assign(decoder=[vocos, vocos])[:0]) == {}


@pytest.mark.parametrize("wer", [[0.5, 1.0, "not available: no clips"], [0.5, 1.0, 2.0]])
def test_scores_are_numbers_where_they_are(tmp_path: Path, wer: list[Any]) -> None:
    scores().assign(wer=wer).to_csv(tmp_path / "scores.csv", index=False)
    read = read_scores(tmp_path / "scores.csv")
    assert list(read["wer"]) == wer
    assert list(read["ended"]) == ["", "", 0.95]
