"""Snakemake's own report of a finished run."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.workflow.conftest import Finished, Snakemake


def shown(report: str) -> dict[str, Any]:
    """What the page shows, by path."""
    start = report.index("var results = {") + len("var results = ")
    results: dict[str, Any] = json.JSONDecoder().raw_decode(report[start:])[0]
    return results


def test_report_shows_tables_scores_and_curves(
    finished: Finished, snakemake: Snakemake, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    run = snakemake(finished.folder, "--report", str(page), project=finished.project)
    assert run.succeeded().jobs == []
    results = shown(page.read_text("utf-8"))
    experiments = yaml.safe_load((finished.folder / "config.yaml").read_text("utf-8"))
    expected = {"results/summary.csv"}
    for name in experiments["experiments"]:
        expected |= {f"results/{name}/{file}" for file in ("table.csv", "scores.csv", "curves.svg")}
    assert results.keys() == expected
    assert all(len(result["caption"]) > 50 for result in results.values())
    for name in experiments["experiments"]:
        assert results[f"results/{name}/table.csv"]["labels"]["experiment"] == name
        assert f"experiment {name}" in results[f"results/{name}/scores.csv"]["caption"]
