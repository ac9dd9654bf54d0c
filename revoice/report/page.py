"""The page to listen to: every test sentence, the tables and curves, and what made them."""

import platform
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from revoice.evaluation.scoring import KINDS, read_sentences
from revoice.files import atomic, read_json, sha256
from revoice.html import rendered
from revoice.model import PARTS
from revoice.report.curves import VALUES, panel, read_metrics
from revoice.report.scores import (
    explanations,
    made_decoder,
    made_recognizer,
    read_scores,
    score_text,
    score_titles,
)
from revoice.report.tables import (
    evaluation_table,
    flatten,
    loss_notes,
    number_text,
    quantizer_table,
    quantizers_by_phase,
    summary_table,
)

Link = Callable[[Any], str | None]  # from an audio file to that of the page
PACKAGES = ["revoice", "snakemake", "lhotse", "torch", "encodec", "pyworld-prebuilt", "phonemizer"]
TRAINING = {"parameters": "Parameters", "trainable_parameters": "Trained", "steps": "Steps"}
TRAINING |= {"epochs": "Epochs", "best_epoch": "Best epoch", "best_step": "Best step"}
TRAINING |= {"minutes": "Minutes", "peak_memory_mb": "Peak memory MB", "device": "Device"}
FIGURES = {
    "duration": "{:.1f}\u202fs",
    "similarity": "similarity {:.2f}",
    "dnsmos": "DNSMOS {:.2f}",
}


@dataclass(frozen=True)
class Experiment:
    """What the rules before have written about one experiment."""

    name: str
    config: Mapping[str, Any]  # its section of the configuration
    codec: Mapping[str, Any]  # codec.json; `name` and `reason` are shown
    seeds: Mapping[str, Any]  # {what: seed} besides those of the trainings
    evaluation: Mapping[str, Any]  # evaluation.json
    scores: pd.DataFrame  # scores.csv
    clips: pd.DataFrame  # scores_per_sentence.csv
    training: Mapping[str, Mapping[str, Any]]  # part -> training.json, trained parts only
    metrics: Mapping[str, pd.DataFrame]  # part -> metrics.csv, trained parts only


def read_experiment(
    folder: str | Path, config: Mapping[str, Any], codec: str | Path, seeds: Mapping[str, Any]
) -> Experiment:
    """Read `results/{experiment}`; a part that was not trained has no training.json there.

    `codec` is the path of its codec.json, the others as in `Experiment`.
    """
    folder = Path(folder)
    records = {part: folder / part / "training.json" for part in PARTS if config.get(part)}
    return Experiment(
        name=folder.name,
        config=config,
        codec=read_json(codec),
        seeds=seeds,
        evaluation=read_json(folder / "evaluation.json"),
        scores=read_scores(folder / "scores.csv"),
        clips=read_sentences(folder / "scores_per_sentence.csv"),
        training={part: read_json(path) for part, path in records.items()},
        metrics=read_metrics({part: folder / part / "metrics.csv" for part in records}),
    )


def compare(experiments: Iterable[Experiment]) -> pd.DataFrame:
    """The table of `revoice.report.tables.summary_table` for these experiments."""
    return summary_table({experiment.name: vars(experiment) for experiment in experiments})


def write_page(
    path: str | Path,
    media: str | Path,
    experiments: Sequence[Experiment],
    hours: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write the page, and the audio it plays into the folder `media` below the page's own.

    The page links to nothing outside its own folder, so that the folder can be copied. What
    `media` held is replaced. Raises FileNotFoundError for an audio file that a table names.

    `hours`: of corpora of raw recordings, what was kept and lost; `corpora/{corpus}/labels.html`
    lies beside.
    """
    path, media = Path(path), Path(media)
    with atomic(media) as folder:
        folder.mkdir()
        link = partial(_copied, folder, media.relative_to(path.parent))
        html = rendered(
            *("report", "index.html.j2"),
            experiments=[_shown(experiment, link) for experiment in experiments],
            comparison=_table(compare(experiments)),
            corpora={name: _table(lost) for name, lost in (hours or {}).items()},
            versions=versions(),
        )
    with atomic(path) as temporary:
        temporary.write_text(html, "utf-8")


def versions() -> dict[str, str]:
    """Versions of what the results depend on, as far as it is installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _copied(folder: Path, shown_as: Path, source: Any) -> str | None:
    """The link to an audio file that is copied into the page's folder, each content once."""
    if pd.isna(source) or not source:
        return None
    source = Path(source)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.stem)[:60]
    name = f"{stem}-{sha256(source)[:10]}{source.suffix}"
    if not (folder / name).exists():
        shutil.copyfile(source, folder / name)
    return (shown_as / name).as_posix()


def _shown(experiment: Experiment, link: Link) -> dict[str, Any]:
    """What the template shows of an experiment."""
    config, evaluation = experiment.config, experiment.evaluation
    trained = {part: config[part] for part in PARTS if config.get(part)}
    seeds = {f"{part.upper()} training": train["seed"] for part, train in trained.items()}
    seeds |= experiment.seeds
    quantizers = quantizer_table(evaluation)
    first = experiment.clips.drop_duplicates(["id", "kind"])  # of a sentence spoken several times
    return {
        "name": experiment.name,
        "scratch": config.get("init") == "scratch",
        "init": config.get("init"),
        "codec": experiment.codec,
        "minutes": round(sum(t["seconds"] for t in experiment.training.values()) / 60),
        "trained": [part.upper() for part in experiment.training],
        "scores": _scores(experiment.scores),
        "explanations": explanations(experiment.scores),
        "sentences": [_sentence(r, link) for _, r in first.groupby("id", sort=False)],
        "evaluation": _table(evaluation_table(evaluation)),
        "quantizers": _table(quantizers_by_phase(quantizers)) if len(quantizers) else None,
        "training": _training(experiment.training),
        "curves": [
            {"svg": Markup(panel(part, metrics, value)), "says": _says(part, metrics, value)}
            for part, metrics in experiment.metrics.items()
            for value in VALUES
        ],
        "footnotes": loss_notes(evaluation),
        "made_by": evaluation.get("made_by", {})
        | made_decoder(experiment.clips)
        | made_recognizer(experiment.scores),
        "seeds": ", ".join(f"{what} {seed}" for what, seed in seeds.items()),
        "config": {k: v for k, v in flatten(config).items() if v not in (None, [], {})},
    }


def _sentence(rows: pd.DataFrame, link: Link) -> dict[str, Any]:
    """One test sentence with its three clips."""
    first = rows.iloc[0]
    shown = {c: first[c] for c in ("id", "text", "language", "speaker", "prompt_id")}
    clips = [_clip(row, link) for _, row in rows.iterrows()]
    return shown | {"prompt": link(first["prompt"]), "clips": clips}


def _clip(row: pd.Series, link: Link) -> dict[str, Any]:
    """A player's file and figures; without a file the template says why there is none."""
    ended = str(row.get("ended", True)).lower() not in {"false", "0", "0.0"}
    return {
        "kind": row["kind"],
        "title": KINDS[row["kind"]],
        "source": link(row["wav"]),
        "figures": [form.format(row[c]) for c, form in FIGURES.items() if not pd.isna(row[c])],
        "heard": None if pd.isna(row["transcript"]) else row["transcript"],
        "errors": None if pd.isna(row["errors"]) else int(row["errors"]),
        "words": int(row["words"]),
        "cut_off": row["kind"] == "synthesis" and not ended,
        "notes": "" if pd.isna(row["notes"]) else row["notes"],
    }


def _scores(scores: pd.DataFrame) -> dict[str, Any]:
    """The score table; a reason in place of a number is kept apart, to be shown smaller."""
    titles = score_titles(scores)
    rows = [(row["row"], [score_text(c, row[c]) for c in titles]) for _, row in scores.iterrows()]
    return {"titles": list(titles.values()), "rows": rows}


def _training(training: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    if not training:
        return None
    rows = []
    for part, record in training.items():
        record = {**record, "minutes": round(record["seconds"] / 60, 1)}
        values = {title: record.get(key) for key, title in TRAINING.items()}
        rows.append({"Part": part.upper(), **values})
    return _table(pd.DataFrame(rows))


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """Headers and cells as text; which columns hold numbers."""
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table.columns]
    rows = [
        [_grouped(number_text(str(c), row[c]), row[c]) for c in table.columns]
        for _, row in table.astype(object).iterrows()
    ]
    return {"columns": list(zip(map(str, table.columns), numeric, strict=True)), "rows": rows}


def _grouped(text: str, value: Any) -> str:
    """Whole numbers with their thousands apart: 13 824 000."""
    whole = isinstance(value, (int, float)) and not isinstance(value, bool)
    if whole and text and value == int(value) and abs(value) >= 10000:
        return f"{int(value):,}".replace(",", "\u202f")
    return text


def _says(part: str, metrics: pd.DataFrame, value: str) -> str:
    """A curve in words, for those who do not see it."""
    says = f"{part.upper()} {VALUES[value]} against the training step"
    for split in ("train", "dev"):
        points = metrics[(metrics["split"] == split) & metrics[value].notna()]
        if len(points):
            first, last = points.iloc[0], points.iloc[-1]
            says += (
                f"; {split} from {first[value]:.2f} at step {int(first['step'])}"
                f" to {last[value]:.2f} at step {int(last['step'])}"
            )
    return says
