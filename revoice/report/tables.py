"""The record's tables: loss and top-10 accuracy per experiment, and the experiments compared."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from revoice.files import atomic
from revoice.model import PARTS

PHASES = {"train": "Train", "dev": "Valid", "test": "Test"}
FOOTNOTES = [
    "Loss: cross-entropy per position, natural logarithm. Top10Accuracy: share of positions whose"
    " target is among the ten highest logits.",
    "AR: the positions are the frames and one EOS at the end of each utterance. Frames that only"
    " pad a batch are not counted as EOS targets in the loss, and EOS itself is not counted in the"
    " accuracy.",
    "NAR: quantizers 1 to 7 (the AR predicts quantizer 0) on the frames after the prompt; its row"
    " above is over all seven.",
]


def evaluation_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The table `Phase | loss | Top10Accuracy` of one experiment.

    Args:
        evaluation: {"ar": {"train": {"loss", "top10_accuracy", "positions"}, "dev", "test"},
            "nar": {...}}; the loss is per position. A part or split that is absent has no row.

    Returns:
        Rows AR Train, AR Valid, AR Test, NAR Train, NAR Valid, NAR Test.
    """
    rows = [
        {
            "Phase": f"{part.upper()} {phase}",
            "loss": evaluation[part][split]["loss"],
            "Top10Accuracy": evaluation[part][split]["top10_accuracy"],
        }
        for part in PARTS
        for split, phase in PHASES.items()
        if split in evaluation.get(part, {})
    ]
    return pd.DataFrame(rows, columns=["Phase", "loss", "Top10Accuracy"])


def quantizer_table(evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """The NAR's table `Phase | quantizer | loss | Top10Accuracy`, quantizers 1 to 7.

    Args:
        evaluation: as for `evaluation_table`; `nar` has {split: {"quantizers": {"1": {"loss",
            "top10_accuracy"}, ...}}}.
    """
    rows = [
        {
            "Phase": f"NAR {phase}",
            "quantizer": int(quantizer),
            "loss": values["loss"],
            "Top10Accuracy": values["top10_accuracy"],
        }
        for split, phase in PHASES.items()
        for quantizer, values in sorted(
            evaluation.get("nar", {}).get(split, {}).get("quantizers", {}).items(),
            key=lambda item: int(item[0]),
        )
    ]
    return pd.DataFrame(rows, columns=["Phase", "quantizer", "loss", "Top10Accuracy"])


def quantizers_by_phase(quantizers: pd.DataFrame) -> pd.DataFrame:
    """The quantizer table with a row per quantizer and each phase's loss and accuracy beside it."""
    phases = list(dict.fromkeys(quantizers["Phase"]))
    wide = pd.DataFrame({"quantizer": sorted(quantizers["quantizer"].unique())})
    for phase in phases:
        of_phase = quantizers[quantizers["Phase"] == phase].set_index("quantizer")
        for value in ("loss", "Top10Accuracy"):
            wide[f"{phase.removeprefix('NAR ')} {value}"] = wide["quantizer"].map(of_phase[value])
    return wide


def write_tables(evaluation: Mapping[str, Any], markdown: str | Path, csv: str | Path) -> None:
    """Write `table.md`, with the NAR's quantizers and what made it, and `table.csv`.

    The CSV holds the record's columns for the six phases and, with a value in `quantizer`, the
    NAR's quantizers.

    Args:
        evaluation: as for `evaluation_table`; `made_by` is {what: which}, e.g. {"codec": ...}.
        markdown: path of the Markdown file.
        csv: path of the CSV file.
    """
    table, quantizers = evaluation_table(evaluation), quantizer_table(evaluation)
    lines = [to_markdown(table), ""]
    if len(quantizers):
        lines += ["NAR per quantizer:", "", to_markdown(quantizers_by_phase(quantizers)), ""]
    lines += [f"- {note}" for note in FOOTNOTES]
    lines += made_by_lines(evaluation.get("made_by", {}))
    with atomic(markdown) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    whole = pd.concat([table.assign(quantizer=""), quantizers.astype({"quantizer": object})])
    with atomic(csv) as temporary:
        whole[["Phase", "quantizer", "loss", "Top10Accuracy"]].to_csv(temporary, index=False)


def made_by_lines(made_by: Mapping[str, str]) -> list[str]:
    """Provenance as the last lines of a Markdown table's file."""
    return ["", "Made by:", "", *(f"- {what}: {which}" for what, which in made_by.items())]


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
            title = part.upper()
            row[f"{title} Valid loss"] = dev.get("loss")
            row[f"{title} Valid Top10Accuracy"] = dev.get("top10_accuracy")
            row[f"{title} best epoch"] = training.get("best_epoch")
            row[f"{title} epochs"] = training.get("epochs")
            seconds = training.get("seconds")
            row[f"{title} minutes"] = None if seconds is None else round(seconds / 60, 1)
            row[f"{title} peak memory MB"] = training.get("peak_memory_mb")
        rows.append(row)
    return pd.DataFrame(rows)


def write_summary(
    summary: pd.DataFrame,
    markdown: str | Path,
    csv: str | Path,
    made_by: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the comparison of the experiments as Markdown and CSV.

    Args:
        made_by: {experiment: its provenance}.
    """
    notes = [
        "Columns between the experiment and the results are the configuration keys whose values"
        " differ. Valid is the dev split.",
        *FOOTNOTES[:2],
    ]
    with atomic(markdown) as temporary:
        lines = [to_markdown(summary), "", *(f"- {note}" for note in notes)]
        told = {name: "; ".join(f"{k} {v}" for k, v in by.items()) for name, by in made_by.items()}
        temporary.write_text("\n".join(lines + made_by_lines(told)) + "\n", "utf-8")
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
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and column.endswith(("loss", "Accuracy")):
        return f"{value:.4f}"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
