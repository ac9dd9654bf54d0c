"""The record's tables and the comparison of experiments."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from revoice.report.curves import panel, read_metrics, write_curves
from revoice.report.tables import (
    differences,
    evaluation_table,
    flatten,
    quantizer_table,
    summary_table,
    to_markdown,
    write_summary,
    write_tables,
)


def figures(loss: float, accuracy: float) -> dict[str, Any]:
    return {"loss": loss, "top10_accuracy": accuracy, "positions": 100}


@pytest.fixture
def evaluation() -> dict[str, Any]:
    quantizers = {str(q): figures(q + 0.5, q / 10) for q in (7, 2, 1)}
    return {
        "nar": {
            "dev": figures(4.0, 0.4) | {"quantizers": quantizers},
            "train": figures(3.0, 0.5) | {"quantizers": quantizers},
        },
        "ar": {
            "test": figures(3.51234, 0.61234),
            "train": figures(2.0, 0.8),
            "dev": figures(3.5, 0.62),
        },
        "made_by": {"codec": "encodec_24khz", "data": "two hours"},
    }


def test_the_record_has_its_rows_in_order(evaluation: dict[str, Any]) -> None:
    table = evaluation_table(evaluation)
    assert list(table.columns) == ["Phase", "loss", "Top10Accuracy"]
    assert list(table["Phase"]) == ["AR Train", "AR Valid", "AR Test", "NAR Train", "NAR Valid"]
    assert list(table["loss"]) == [2.0, 3.5, 3.51234, 3.0, 4.0]
    assert list(table["Top10Accuracy"]) == [0.8, 0.62, 0.61234, 0.5, 0.4]


def test_the_initial_model_stands_first(evaluation: dict[str, Any], tmp_path: Path) -> None:
    write_tables(evaluation, tmp_path / "scratch.md", tmp_path / "scratch.csv")
    before = {"dev": figures(6.0, 0.2), "test": figures(6.5, 0.1)}
    evaluation["initial"] = {"nar": before, "ar": before}
    table = evaluation_table(evaluation)
    expected = ["AR Initial Valid", "AR Initial Test", "NAR Initial Valid", "NAR Initial Test"]
    assert list(table["Phase"])[:5] == [*expected, "AR Train"]
    assert list(table["loss"])[:5] == [6.0, 6.5, 6.0, 6.5, 2.0]
    assert list(quantizer_table(evaluation)["Phase"].unique()) == ["NAR Train", "NAR Valid"]
    write_tables(evaluation, tmp_path / "table.md", tmp_path / "table.csv")
    told = ["before any step" in (tmp_path / f"{n}.md").read_text() for n in ("scratch", "table")]
    assert told == [False, True]
    assert list(pd.read_csv(tmp_path / "table.csv")["Phase"])[:4] == expected


def test_quantizers_are_sorted_as_numbers(evaluation: dict[str, Any]) -> None:
    table = quantizer_table(evaluation)
    assert list(table["Phase"]) == ["NAR Train"] * 3 + ["NAR Valid"] * 3
    assert list(table["quantizer"]) == [1, 2, 7] * 2


def test_tables_are_written_with_what_made_them(evaluation: dict[str, Any], tmp_path: Path) -> None:
    write_tables(evaluation, tmp_path / "table.md", tmp_path / "table.csv")
    text = (tmp_path / "table.md").read_text("utf-8")
    header = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert header == ["Phase", "loss", "Top10Accuracy"]
    assert "3.5123" in text
    assert "- codec: encodec_24khz" in text
    assert "- data: two hours" in text
    assert "not counted as EOS targets" in text
    assert "EOS itself is not counted in the accuracy" in text
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table.columns) == ["Phase", "quantizer", "loss", "Top10Accuracy"]
    assert table["quantizer"].isna().sum() == 5
    assert table.loc[2, "loss"] == 3.51234  # the CSV is not rounded
    assert len(table) == 5 + 6


def test_a_model_without_nar_has_a_table(evaluation: dict[str, Any], tmp_path: Path) -> None:
    del evaluation["nar"]
    write_tables(evaluation, tmp_path / "table.md", tmp_path / "table.csv")
    assert "NAR per quantizer:" not in (tmp_path / "table.md").read_text("utf-8")
    assert len(pd.read_csv(tmp_path / "table.csv")) == 3


def test_flatten() -> None:
    nested = {"init": "scratch", "ar": {"lr": 1, "lora": {"rank": 8}}, "nar": None, "limits": {}}
    flat = {"init": "scratch", "ar.lr": 1, "ar.lora.rank": 8, "nar": None, "limits": {}}
    assert flatten(nested) == flat


def test_only_what_differs_is_compared() -> None:
    stage = {"lr": 1e-3, "trainable": ["a.*", "b.*"], "lora": None, "epochs": 3}
    configs = {
        "one": {"init": "scratch", "ar": stage, "nar": stage},
        "two": {"init": "one", "ar": stage | {"lr": 1e-4, "lora": {"rank": 8}}, "nar": None},
        "three": {"init": "one", "ar": stage | {"trainable": "all"}, "nar": stage},
    }
    table = differences(configs)
    assert list(table.columns) == ["init", "ar.lr", "ar.trainable", "ar.lora.rank", "nar"]
    assert list(table["ar.trainable"]) == ["a.*, b.*", "a.*, b.*", "all"]
    assert list(table["ar.lora.rank"]) == ["", "8", ""]
    assert list(table["nar"]) == ["trained", "not trained", "trained"]
    assert differences({"one": configs["one"]}).empty
    assert list(differences({"one": configs["one"]}).index) == ["one"]


def test_the_summary_has_a_row_per_experiment(evaluation: dict[str, Any], tmp_path: Path) -> None:
    training = {"best_epoch": 4, "epochs": 5, "seconds": 90.0, "peak_memory_mb": 512.5}
    experiments = {
        "one": {
            "config": {"ar": {"lr": 1e-3}, "nar": {"lr": 1e-3}},
            "evaluation": evaluation,
            "training": {"ar": training, "nar": training},
        },
        "two": {
            "config": {"ar": {"lr": 1e-5}, "nar": None},
            "evaluation": evaluation,
            "training": {"ar": training},
        },
    }
    summary = summary_table(experiments)
    assert list(summary["experiment"]) == ["one", "two"]
    assert list(summary["ar.lr"]) == ["0.001", "1e-05"]
    assert list(summary["AR Valid loss"]) == [3.5, 3.5]
    assert list(summary["AR best epoch"]) == [4, 4]
    assert list(summary["AR minutes"]) == [1.5, 1.5]
    assert summary["NAR best epoch"].isna().tolist() == [False, True]
    assert "nar.lr" not in summary
    write_summary(summary, tmp_path / "summary.md", tmp_path / "summary.csv", {})
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 2
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert "nan" not in text.lower()
    assert "512.5" in text


def test_cells_do_not_break_markdown() -> None:
    table = pd.DataFrame({"name": ["a|b", "c"], "loss": [1.23456, None]})
    lines = to_markdown(table).splitlines()
    assert "a\\|b" in lines[2]
    assert "1.2346" in lines[2]
    assert "nan" not in lines[3]


def test_curves_need_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,split,loss\n1,train,2.0\n")
    with pytest.raises(ValueError, match=r"metrics\.csv lacks the columns top10_accuracy"):
        read_metrics({"ar": path})
    assert read_metrics({"nar": tmp_path / "absent.csv"}) == {}


def test_curves_are_whole_without_dev_or_parts(tmp_path: Path) -> None:
    metrics = pd.DataFrame(
        {"step": [1, 2], "split": "train", "loss": [3.0, 2.5], "top10_accuracy": [0.1, 0.2]}
    )
    write_curves(tmp_path / "one.svg", {"ar": metrics})
    assert "AR: Loss" in (tmp_path / "one.svg").read_text("utf-8")
    write_curves(tmp_path / "none.svg", {})
    assert "No part of this experiment was trained" in (tmp_path / "none.svg").read_text("utf-8")
    svg = panel("nar", metrics, "top10_accuracy")
    assert svg.startswith("<svg")
    assert "NAR: Top10Accuracy" in svg
    assert "<style" not in svg  # it would be a style of the whole page


def test_curves_show_the_loss_with_anothers_text() -> None:
    metrics = pd.DataFrame({"step": [1, 2], "split": "dev", "loss": [3.0, 2.5]})
    metrics["top10_accuracy"] = 0.1
    other = metrics.assign(swap_loss=[3.1, 2.9])
    lines = [panel("ar", table, "loss").count("another") for table in (metrics, other)]
    assert lines == [0, 1]
    assert "another" not in panel("ar", other, "top10_accuracy")
    assert panel("nar", metrics.assign(swap_loss=None), "loss").count("another") == 0
