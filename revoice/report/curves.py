"""Training curves as SVG that is the same, byte for byte, for the same numbers."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
import matplotlib.ticker
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from revoice.files import PACKAGE, atomic

VALUES = {"loss": "Loss", "top10_accuracy": "Top10Accuracy"}
STYLE: dict[str, dict[str, Any]] = {
    "train": {"color": "#3b82c4", "linewidth": 1.1},
    "dev": {"color": "#d9662b", "linewidth": 1.6, "marker": "o", "markersize": 3.5},
}
SETTINGS = PACKAGE / "report/templates/curves.mplstyle"
NO_METADATA = dict.fromkeys(["Date", "Creator", "Format", "Type"])


def write_curves(path: str | Path, metrics: Mapping[str, pd.DataFrame]) -> None:
    """Loss and top-10 accuracy against the step, a row of panels for each part, as one SVG.

    `metrics` is {"ar": metrics, "nar": metrics} with the columns `step`, `split` ("train" or
    "dev"), `loss`, `top10_accuracy` and maybe `swap_loss`; a part that was not trained is left out.
    """
    panels = [(part, value) for part in metrics for value in VALUES]
    with matplotlib.style.context(SETTINGS):
        rows = max(len(metrics), 1)
        figure = Figure(figsize=(9, 3 * rows), layout="constrained")
        for number, (part, value) in enumerate(panels, 1):
            _draw(figure.add_subplot(rows, len(VALUES), number), part, metrics[part], value)
        if not panels:
            figure.text(0.5, 0.5, "No part of this experiment was trained.", ha="center")
        with atomic(path) as temporary:
            temporary.write_text(_svg(figure, "#ffffff"), "utf-8")


def panel(part: str, metrics: pd.DataFrame, value: str) -> str:
    """One panel as an `<svg>` element for a page, with a transparent ground and `currentColor`.

    `metrics` are those of the part, as in `write_curves`, `value` one of their columns.
    """
    with matplotlib.style.context([SETTINGS, {"axes.facecolor": "none"}]):
        figure = Figure(figsize=(4.4, 2.75), layout="constrained")
        _draw(figure.add_subplot(), part, metrics, value)
        svg, ink = _svg(figure, "none"), matplotlib.rcParams["text.color"]
    # names and rules inside the picture would be names and rules of the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", re.sub(r"(?s)<defs>\s*<style.*?</defs>", "", svg))
    return svg[svg.index("<svg") :].replace(ink, "currentColor")


def _draw(axes: Axes, part: str, metrics: pd.DataFrame, value: str) -> None:
    for split, style in STYLE.items():
        points = metrics[(metrics["split"] == split) & metrics[value].notna()]
        if len(points):
            axes.plot(points["step"], points[value], label=split, **style)
    if value == "loss" and "swap_loss" in metrics and metrics["swap_loss"].notna().any():
        points = metrics[metrics["swap_loss"].notna()]
        style = {**STYLE["dev"], "linestyle": "--", "marker": ""}
        axes.plot(points["step"], points["swap_loss"], label="dev, another's text", **style)
    axes.set_title(f"{part.upper()}: {VALUES[value]}")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6, integer=True))
    axes.grid(color="#808890", alpha=0.25, linewidth=0.6)
    if value == "top10_accuracy":
        axes.set_ylim(0, 1)
    if axes.lines:
        axes.legend(loc="best")


def _svg(figure: Figure, ground: str) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", facecolor=ground, metadata=NO_METADATA)
    return stream.getvalue()


def read_metrics(paths: Mapping[str, str | Path]) -> dict[str, pd.DataFrame]:
    """`metrics.csv` of every part that has one; ValueError where one lacks a column."""
    metrics = {part: pd.read_csv(path) for part, path in paths.items() if Path(path).is_file()}
    for part, table in metrics.items():
        if missing := [c for c in ("step", "split", *VALUES) if c not in table.columns]:
            raise ValueError(f"{paths[part]} lacks the columns {', '.join(missing)}")
    return metrics
