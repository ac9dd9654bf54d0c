"""The record's tables: loss and top-10 accuracy per experiment, and the experiments compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from revoice.files import PACKAGE, atomic, read_json
from revoice.model import PARTS

PHASES = {"train": "Train", "dev": "Valid", "test": "Test"}
VALUES = {"loss": "loss", "top10_accuracy": "Top10Accuracy"}
NOTES = read_json(PACKAGE / "report/notes.json")  # what the tables' rows and columns mean


def evaluation_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The table `Phase | loss | Top10Accuracy` of one experiment: AR Train, Valid, Test, then NAR.

    `evaluation` is {"ar": {"train": {"loss", "top10_accuracy", "positions"}, "dev", "test"},
    "nar": {...}}; the loss is per position. A part or split that is absent has no row. Its
    `initial`, where there is one, holds the same of the model before any step: AR Initial Valid...
    """
    rows = [
        (f"{part.upper()} {when}{phase}", *(parts[part][split][value] for value in VALUES))
        for when, parts in (("Initial ", evaluation.get("initial", {})), ("", evaluation))
        for part in PARTS
        for split, phase in PHASES.items()
        if split in parts.get(part, {})
    ]
    return pd.DataFrame(rows, columns=["Phase", *VALUES.values()])


def loss_notes(evaluation: Mapping[str, Any]) -> list[str]:
    """What the rows and columns of `evaluation_table` mean."""
    return [*NOTES["losses"], *([NOTES["initial"]] if "initial" in evaluation else [])]


def quantizer_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The NAR's table `Phase | quantizer | loss | Top10Accuracy`, quantizers 1 to 7.

    `evaluation` is as for `evaluation_table`; `nar` has {split: {"quantizers": {"1": {"loss",
    "top10_accuracy"}, ...}}}.
    """
    rows = []
    for split, phase in PHASES.items():
        of_split = evaluation.get("nar", {}).get(split, {}).get("quantizers", {})
        for q in sorted(of_split, key=int):
            rows.append((f"NAR {phase}", int(q), *(of_split[q][value] for value in VALUES)))
    return pd.DataFrame(rows, columns=["Phase", "quantizer", *VALUES.values()])


def quantizers_by_phase(quantizers: pd.DataFrame) -> pd.DataFrame:
    """The quantizer table with a row per quantizer and each phase's loss and accuracy beside it."""
    wide = []
    for phase, rows in quantizers.groupby("Phase", sort=False):
        title = str(phase).removeprefix("NAR ")
        wide.append(rows.set_index("quantizer")[[*VALUES.values()]].add_prefix(f"{title} "))
    return pd.concat(wide, axis=1).sort_index().reset_index()


def write_tables(evaluation: Mapping[str, Any], markdown: str | Path, csv: str | Path) -> None:
    """Write `table.md`, with the NAR's quantizers and what made it, and `table.csv`.

    The CSV holds the record's columns for the phases and, with a value in `quantizer`, the NAR's
    quantizers. `evaluation` is as for `evaluation_table`; its `made_by` is {what: which},
    e.g. {"codec": ...}.
    """
    table, quantizers = evaluation_table(evaluation), quantizer_table(evaluation)
    lines = [to_markdown(table), ""]
    if len(quantizers):
        lines += ["NAR per quantizer:", "", to_markdown(quantizers_by_phase(quantizers)), ""]
    write_markdown(markdown, lines, loss_notes(evaluation), evaluation.get("made_by", {}))
    whole = pd.concat([table.assign(quantizer=""), quantizers.astype({"quantizer": object})])
    with atomic(csv) as temporary:
        whole[["Phase", "quantizer", "loss", "Top10Accuracy"]].to_csv(temporary, index=False)


def write_markdown(
    path: str | Path, lines: list[str], notes: list[str], made_by: Mapping[str, str]
) -> None:
    """Write tables with what they mean and what made them below."""
    made = [f"- {what}: {which}" for what, which in made_by.items()]
    lines = [*lines, *(f"- {note}" for note in notes), "", "Made by:", "", *made]
    with atomic(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys: {"ar": {"lr": 1}} becomes {"ar.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(configs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What differs between experiments: a row per experiment, a column per differing key.

    Keys stand in the order in which the experiments name them. A part that an experiment does
    not train says so in the column of its name, and its keys are compared among the others.
    """
    flat = {name: flatten(config) for name, config in configs.items()}
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    # a section that one experiment leaves out (`lora: null`) shows by its keys in the others
    keys = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    columns: dict[str, dict[str, str]] = {
        part: {n: "trained" if c.get(part) else "not trained" for n, c in configs.items()}
        for part in PARTS
    }
    for key in keys:
        first = key.split(".")[0]
        compared = [name for name in configs if first not in PARTS or configs[name].get(first)]
        columns[key] = {name: _shown(flat[name].get(key)) for name in compared}
    order = [key for key in [*keys, *PARTS] if len(set(columns[key].values())) > 1]
    places: dict[str, int] = {part: place for place, part in enumerate(PARTS)}
    order.sort(key=lambda key: places.get(key.split(".")[0], -1))
    return pd.DataFrame({key: columns[key] for key in order}, index=list(configs)).fillna("")


def summary_table(experiments: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every experiment a row: what differs, and what came of it.

    Args:
        experiments: {name: {"config": the experiment's section, "evaluation": as for
            `evaluation_table`, "training": {"ar": {"epochs", "steps", "best_epoch", "best_step",
            "seconds", "peak_memory_mb", "device", "parameters", "trainable_parameters"}, "nar":
            ...}}}. A part that was not trained is absent from `training`.

    Returns:
        `experiment`, the differing configuration keys, and per part the loss and accuracy on dev,
        the best epoch, all epochs, minutes and peak memory; empty for a part that was not trained.
    """
    configs = {name: values["config"] for name, values in experiments.items()}
    changed = differences(configs)
    rows = []
    for name, values in experiments.items():
        row: dict[str, Any] = {"experiment": name}
        row |= {str(key): value for key, value in changed.loc[name].items()}
        for part in PARTS:
            dev = values["evaluation"].get(part, {}).get("dev", {})
            training = values["training"].get(part) or {}
            title, seconds = part.upper(), training.get("seconds")
            row |= {f"{title} Valid {shown}": dev.get(value) for value, shown in VALUES.items()}
            row[f"{title} best epoch"] = training.get("best_epoch")
            row[f"{title} epochs"] = training.get("epochs")
            row[f"{title} minutes"] = None if seconds is None else round(seconds / 60, 1)
            row[f"{title} peak memory MB"] = training.get("peak_memory_mb")
        rows.append(row)
    return pd.DataFrame(rows)


def write_summary(
    summary: pd.DataFrame,
    markdown: str | Path,
    csv: str | Path,
    made_by: Mapping[str, Mapping[str, str]],
    hours: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write the comparison as Markdown and CSV; `made_by` is {experiment: its provenance}.

    `hours`: of corpora of raw recordings, what was kept and lost, for the Markdown.
    """
    notes = [NOTES["summary"], *NOTES["losses"][:2]]
    told = {name: "; ".join(f"{k} {v}" for k, v in by.items()) for name, by in made_by.items()}
    lines = [to_markdown(summary), ""]
    for corpus, lost in (hours or {}).items():
        lines += [f"Of the recordings of {corpus}:", "", to_markdown(lost), ""]
    write_markdown(markdown, lines, notes, told)
    with atomic(csv) as temporary:
        summary.to_csv(temporary, index=False)


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table with numbers as `number_text` shows them."""
    shown = pd.DataFrame(
        {c: [number_text(c, value) for value in table[c]] for c in table.columns}, dtype=object
    )
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table.columns]
    aligned = ["right" if number else "left" for number in numeric]
    shown = shown.map(lambda text: text.replace("|", "\\|"))
    return str(shown.to_markdown(index=False, disable_numparse=True, colalign=aligned))


def number_text(column: str, value: Any) -> str:
    """A cell as it is shown: losses and accuracies with four decimals, nothing for no value."""
    if pd.isna(value):
        return ""
    if isinstance(value, float) and column.endswith(("loss", "Accuracy")):
        return f"{value:.4f}"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
