"""What runs again after a change: the exact jobs, on a finished run of two experiments."""

import copy
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from lhotse import CutSet

from revoice.config import CorpusConfig
from revoice.corpus.index import AudioFile, assign_shards, scan
from revoice.corpus.naming import read_shard, slug
from revoice.files import read_json, sha256
from revoice.training.state import step_of
from tests.workflow.conftest import Finished, Run, Snakemake

CODES = "results/corpora/small/codes/world/{shard}.jsonl.gz"
EXPERIMENTS = ("tiny", "other")
# The rules of an experiment, in their order; whatever runs again, all that reads it does too.
SELECTED = ("select_cuts", "train_ar", "train_nar", "assemble", "voices", "evaluate", "synthesize")
SELECTED += ("score", "tabulate")
TRAINED = SELECTED[1:]
ASSEMBLED = SELECTED[3:]
SPOKEN = SELECTED[6:]
EVALUATED = ("evaluate", "tabulate")
WHOLE = ("fit_codec", "encode", "resample", "manifests", "tokenize_text", *SELECTED, "summarize")


def shards(finished: Finished) -> list[str]:
    """The shards of the corpus, as the last run has left their lists."""
    return sorted(p.stem for p in (finished.folder / "results/corpora/small/shards").glob("*.tsv"))


def jobs(
    finished: Finished,
    *rules: str,
    experiments: tuple[str, ...] = EXPERIMENTS,
    of: str | None = None,
) -> list[str]:
    """The jobs of some rules, as a run lists them: of all shards (or `of` one), of experiments."""
    wildcards: dict[str, list[str]] = {
        **{rule: list(experiments) for rule in SELECTED},
        "resample": [f"small/{shard}" for shard in ([of] if of else shards(finished))],
        "index": ["small"],
        "manifests": ["small"],
        "tokenize_text": ["small.vallex"],
        "fit_codec": ["world"],
    }
    wildcards["encode"] = [w.replace("/", "/world/") for w in wildcards["resample"]]
    return sorted(f"{rule} {w}".strip() for rule in rules for w in wildcards.get(rule, [""]))


@pytest.fixture
def planned(restored: Finished, snakemake: Snakemake) -> Callable[..., list[str]]:
    """The jobs that a run would start now: `planned(config=...)`."""

    def plan(**arguments: Any) -> list[str]:
        run = snakemake(restored.folder, "-n", project=restored.project, **arguments)
        return run.succeeded().jobs

    return plan


def configured(finished: Finished, key: str, value: Any) -> dict[str, Any]:
    """The finished run's configuration with another value at `experiments.tiny.ar.lr`, say."""
    config = yaml.safe_load((finished.folder / "config.yaml").read_text("utf-8"))
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = copy.deepcopy(value)
    return config


def make(finished: Finished, snakemake: Snakemake, *targets: str, **arguments: Any) -> Run:
    """A real run up to some files."""
    return snakemake(finished.folder, *targets, project=finished.project, **arguments)


def test_nothing_changed(planned: Callable[..., list[str]]) -> None:
    assert planned() == []


def test_another_order_of_experiments(
    finished: Finished, planned: Callable[..., list[str]]
) -> None:
    """The codec was fitted on the first experiment's speech: it stays what it is."""
    config = yaml.safe_load((finished.folder / "config.yaml").read_text("utf-8"))
    config["corpora"]["digits"] = config["corpora"]["small"]
    first = config["experiments"]["tiny"] | {"corpora": ["digits"]}
    config["experiments"] = {"new": first, **config["experiments"]}
    before = jobs(finished, "resample", "manifests", "tokenize_text", "encode", *SELECTED)
    assert not set(planned(config=config)) & {*before, "fit_codec world"}
    config["experiments"] = dict(reversed(config["experiments"].items()))
    del config["experiments"]["new"]
    assert planned(config=config) == ["summarize"]


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("audio.loudness", -23, WHOLE),
        ("text.mend", True, ("tokenize_text", *SELECTED, "summarize")),
        ("codecs.world.seed", 2, ("fit_codec", "encode", *SELECTED, "summarize")),
        ("evaluation.max_train_cuts", 5, (*EVALUATED, "summarize")),
        ("synthesis.extra", ["Nothing is said twice."], (*SPOKEN, "summarize")),
    ],
)
def test_a_setting_of_all(
    restored: Finished,
    planned: Callable[..., list[str]],
    key: str,
    value: Any,
    rules: tuple[str, ...],
) -> None:
    assert planned(config=configured(restored, key, value)) == jobs(restored, *rules)


@pytest.mark.parametrize(
    ("experiment", "key", "value", "rules"),
    [
        ("tiny", "ar.lr", 2e-3, ("train_ar", *ASSEMBLED)),
        ("other", "ar.lr", 2e-3, ("train_ar", *ASSEMBLED)),
        ("tiny", "nar.lr", 2e-3, ("train_nar", *ASSEMBLED)),
        ("other", "limits.max_seconds", 19, SELECTED),
    ],
)
def test_a_setting_of_one_experiment(
    restored: Finished,
    planned: Callable[..., list[str]],
    experiment: str,
    key: str,
    value: Any,
    rules: tuple[str, ...],
) -> None:
    config = configured(restored, f"experiments.{experiment}.{key}", value)
    assert planned(config=config) == jobs(restored, *rules, "summarize", experiments=(experiment,))


def test_the_tokenizer_of_one_experiment(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    config = configured(restored, "experiments.other.tokenizer", "espeak")
    expected = jobs(restored, *SELECTED, "summarize", experiments=("other",))
    assert planned(config=config) == sorted([*expected, "tokenize_text small.espeak"])


def edit(path: Path, old: str = "", new: str = "EDITED = True") -> None:
    """Replace some text in a file, or add a line that does something."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else f"{text}\n{new}\n", "utf-8")


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        ("revoice/text/english.py", ("tokenize_text", *SELECTED, "summarize")),
        ("revoice/codec/world.py", ("fit_codec", "encode", *SELECTED, "summarize")),
        ("revoice/codec/encodec.py", ()),  # WORLD is the codec here
        ("revoice/codec/choice.py", ()),  # it is chosen once
        ("revoice/corpus/index.py", ()),  # planning alone
        ("revoice/training/optim.py", (*TRAINED, "summarize")),
        ("revoice/model/losses.py", (*TRAINED, "summarize")),
        ("revoice/evaluation/sentences.py", (*SPOKEN, "summarize")),
        ("revoice/evaluation/scoring.py", ("score", "tabulate", "summarize")),
        ("revoice/report/page.py", ("summarize",)),
        ("scripts/evaluate.py", (*EVALUATED, "summarize")),
    ],
)
def test_an_edit_of_the_code(
    restored: Finished, planned: Callable[..., list[str]], path: str, rules: tuple[str, ...]
) -> None:
    edit(restored.project / path)
    assert planned() == jobs(restored, *rules)


def test_comments_and_docstrings_rerun_nothing(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    """In every module and every script at once."""
    files = [*restored.project.glob("revoice/**/*.py"), *restored.project.glob("scripts/*.py")]
    assert len(files) > 60
    for path in files:
        edit(path, '"""', '"""Edited: ')
        edit(path, new="# edited")
    assert planned() == []


def test_the_wording_of_a_footnote_reruns_the_tables_and_the_page(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    edit(restored.project / "revoice/report/notes.json", "natural logarithm", "in nats")
    assert planned() == jobs(restored, "tabulate", "summarize")


def test_another_codec_beside_the_first(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    config = configured(restored, "codecs.second", {"kind": "world", "seed": 2})
    config["experiments"]["other"]["codec"] = "second"
    codec = ["fetch_codec second", "fit_codec second"]
    codec += [f"encode small/second/{shard}" for shard in shards(restored)]
    rest = jobs(restored, *SELECTED, "summarize", experiments=("other",))
    assert planned(config=config) == sorted([*codec, *rest])


def test_an_experiment_more_refits_no_codec(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    """Even where it is the first that takes the codec."""
    config = yaml.safe_load((restored.folder / "config.yaml").read_text("utf-8"))
    config["experiments"] = {"new": config["experiments"]["tiny"], **config["experiments"]}
    added = planned(config=config)
    assert {job.split()[0] for job in added} == {*SELECTED, "summarize"}
    assert {job.split()[-1] for job in added} == {"new", "summarize"}


def test_touch_takes_what_is_there_as_made_with_an_edit(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    """... and a recording more does not refit the codec for it."""
    for path in ("revoice/model/losses.py", "revoice/codec/world.py"):
        edit(restored.project / path)
    assert planned()
    make(restored, snakemake, "--touch").succeeded()
    assert planned() == []
    shard = add_recording(restored)
    assert planned() == jobs(restored, *AFTER_A_SHARD, of=shard)


def test_a_touched_recording(restored: Finished, planned: Callable[..., list[str]]) -> None:
    audio = next((restored.folder / "audio").rglob("*.wav"))
    before = audio.stat().st_mtime
    os.utime(audio)
    assert audio.stat().st_mtime > before
    assert planned() == []


def shard_of(finished: Finished, path: str) -> str:
    """Which shard lists a recording."""
    lists = finished.folder / "results/corpora/small/shards"
    (shard,) = (p.stem for p in lists.glob("*.tsv") if path in read_shard(p))
    return shard


AFTER_A_SHARD = (
    "index",
    "resample",
    "encode",
    "manifests",
    "tokenize_text",
    *SELECTED,
    "summarize",
)


def test_a_recording_with_other_samples(
    restored: Finished, planned: Callable[..., list[str]]
) -> None:
    audio = next((restored.folder / "audio").rglob("*.wav"))
    samples, rate = soundfile.read(audio)
    soundfile.write(audio, 0.5 * samples, rate)
    shard = shard_of(restored, audio.relative_to(restored.folder / "audio").as_posix())
    assert planned() == jobs(restored, *AFTER_A_SHARD, of=shard)


def assigned(finished: Finished, files: list[AudioFile]) -> dict[str, list[AudioFile]]:
    """The shards that the corpus would have with these files."""
    config = yaml.safe_load((finished.folder / "config.yaml").read_text("utf-8"))
    return assign_shards(files, 60 * config["audio"]["shard_minutes"])


def listed(finished: Finished) -> list[AudioFile]:
    """The recordings that are there."""
    return scan(CorpusConfig(kind="folder", path=str(finished.folder / "audio")))[0]


def test_a_recording_removed(restored: Finished, planned: Callable[..., list[str]]) -> None:
    """One without which its shard is not so short that it joins another."""
    files = listed(restored)
    path = next(
        file.path
        for file in files
        if sorted(assigned(restored, [f for f in files if f != file])) == shards(restored)
    )
    shard = shard_of(restored, path)
    (restored.folder / "audio" / path).unlink()
    (restored.folder / "audio" / path).with_suffix(".txt").unlink()
    assert planned() == jobs(restored, *AFTER_A_SHARD, of=shard)


def add_recording(finished: Finished) -> str:
    """A recording more, of a name whose shard has room for it; returns the shard."""
    files = listed(finished)
    shortest = min(files, key=lambda file: file.seconds)
    for i in itertools.count():
        new = shortest._replace(path=str(Path(shortest.path).with_name(f"new_{i}.wav")))
        parts = assigned(finished, [*files, new])
        if sorted(parts) == shards(finished):
            break
    audio = finished.folder / "audio"
    shutil.copyfile(audio / shortest.path, audio / new.path)
    (audio / new.path).with_suffix(".txt").write_text("something new", "utf-8")
    return next(shard for shard, part in parts.items() if new in part)


def state_of(folder: Path, without: str) -> dict[str, tuple[str, int]]:
    """Digest and time of every shard's files, but one shard's."""
    return {
        path.relative_to(folder).as_posix(): (sha256(path), path.stat().st_mtime_ns)
        for part in ("shards", "audio", "codes/world")
        for path in (folder / "results/corpora/small" / part).rglob("*")
        if path.is_file()
        and path.relative_to(folder / "results/corpora/small" / part).parts[0].split(".")[0]
        != without
    }


def test_one_recording_added_to_ten_shards(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    names = shards(restored)
    assert len(names) >= 10
    shard = add_recording(restored)
    before = state_of(restored.folder, without=shard)
    assert planned() == jobs(restored, *AFTER_A_SHARD, of=shard)
    table = f"results/corpora/small/audio/{shard}.csv"
    run = make(restored, snakemake, table).succeeded()
    assert run.jobs == jobs(restored, "index", "resample", of=shard)
    assert planned() == jobs(restored, *AFTER_A_SHARD[2:], of=shard), "as if it were killed here"
    run = make(restored, snakemake, *(CODES.format(shard=name) for name in names)).succeeded()
    assert run.jobs == jobs(restored, "encode", of=shard)
    assert planned() == jobs(restored, *AFTER_A_SHARD[3:])
    assert state_of(restored.folder, without=shard) == before
    cuts = CutSet.from_jsonl(restored.folder / CODES.format(shard=shard))
    paths = read_shard(restored.folder / f"results/corpora/small/shards/{shard}.tsv")
    assert {cut.recording_id for cut in cuts} == {f"small-{slug(path)}" for path in paths}


def test_one_transcript_corrected(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    transcript = next(path for path in (restored.folder / "audio").rglob("*.txt"))
    transcript.write_text("A correction of what was said.", "utf-8")
    rules = ("index", "manifests", "tokenize_text", *SELECTED, "summarize")
    assert planned() == jobs(restored, *rules)
    before = state_of(restored.folder, without="")
    text = "results/text/small.vallex"
    run = make(restored, snakemake, f"{text}/tokenizer.json").succeeded()
    assert run.jobs == jobs(restored, "index", "manifests", "tokenize_text")
    assert state_of(restored.folder, without="") == before
    cuts = [
        cut
        for split in ("train", "dev", "test")
        for cut in CutSet.from_jsonl(restored.folder / f"{text}/cuts_{split}.jsonl.gz")
    ]
    assert [cut.supervisions[0].text for cut in cuts].count(transcript.read_text("utf-8")) == 1
    assert planned() == jobs(restored, *SELECTED, "summarize")


def test_a_killed_run_started_again(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    """Killed while the AR is trained: what was done before stays, and the training goes on.

    The code is edited in between, which keeps no training from going on. The old model is there
    until the new one is.
    """
    folder, target = restored.folder, "results/other/ar/model.safetensors"
    old = sha256(folder / target)
    train = {"lr": 5e-4, "steps": 150, "valid_every": 10**6, "checkpoint_every": 5}
    config = configured(restored, "experiments.other.ar", train | {"batch_seconds": 10})
    config["experiments"]["other"]["limits"] = {"min_seconds": 0.1, "max_seconds": 19}
    known = set(folder.glob("work/other-ar-*/state-*.pt"))

    def saved() -> set[Path]:
        return set(folder.glob("work/other-ar-*/state-*.pt")) - known

    def killed_when() -> bool:
        return bool(saved())

    run = make(restored, snakemake, target, config=config, kill_when=killed_when)
    assert run.returncode < 0, run.output
    assert run.jobs == ["select_cuts other", "train_ar other"]
    assert list((folder / ".snakemake/locks").glob("*.lock")), "a killed run leaves its locks"
    state = max(saved())  # killed in between, there may be two
    assert sha256(folder / target) == old
    assert planned() == jobs(restored, *TRAINED, "summarize", experiments=("other",))
    edit(restored.project / "revoice/model/losses.py")
    run = make(restored, snakemake, target).succeeded()
    assert run.jobs == ["train_ar other"]
    step = step_of(state)
    log = (folder / "logs/train_ar/other.log").read_text("utf-8")
    assert f"going on from step {step}, " in log
    training = read_json(folder / "results/other/ar/training.json")
    assert training["steps"] == train["steps"]
    assert [entry["step"] for entry in training["code"]] == [0, step]
    assert np.isfinite(training["best_loss"])
    assert sha256(folder / target) != old


def test_a_real_edit_of_the_loss_trains_anew_beside_the_old_model(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    folder, target = restored.folder, "results/tiny/ar/model.safetensors"
    old, steps = sha256(folder / target), []
    loss = restored.project / "revoice/model/losses.py"
    edit(loss, "logits.flatten(0, 1).float()", "0.5 * logits.flatten(0, 1).float()")
    log = folder / "logs/train_ar/tiny.log"

    def look() -> bool:
        """Never kills; looks whether the old model is there while the new one is trained."""
        if log.exists() and "starting anew" in log.read_text("utf-8"):
            steps.append((folder / target).exists())
        return False

    assert planned() == jobs(restored, *TRAINED, "summarize")
    run = make(restored, snakemake, target, kill_when=look).succeeded()
    assert run.jobs == ["train_ar tiny"]
    assert steps, "nobody looked"
    assert all(steps)
    assert sha256(folder / target) != old
    assert "train_ar tiny" not in planned()


def test_a_training_that_fails_is_not_taken_for_done(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    """The old model stands; what reads it waits for the new one."""
    folder, target = restored.folder, "results/tiny/ar/model.safetensors"
    old = sha256(folder / target)
    train = restored.project / "revoice/training/train.py"
    edit(train, "    config, ranks =", "    1 / 0\n    config, ranks =")
    run = make(restored, snakemake, "results/tiny/model.safetensors")
    assert run.returncode != 0
    assert "ZeroDivisionError" in run.output
    assert sha256(folder / target) == old
    edit(train, "    1 / 0\n", "")
    expected = jobs(restored, *TRAINED, "summarize", experiments=("tiny",))
    assert planned() == expected


def test_an_index_that_fails_is_not_taken_for_done(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    shard = add_recording(restored)
    script = restored.project / "scripts/index.py"
    edit(script, "script_logging(snakemake)", "script_logging(snakemake)\n1 / 0")
    run = make(restored, snakemake, "results/corpora/small/recordings.jsonl.gz")
    assert run.returncode != 0
    edit(script, "\n1 / 0", "")
    assert planned() == jobs(restored, *AFTER_A_SHARD, of=shard)
    make(restored, snakemake, "results/corpora/small/recordings.jsonl.gz").succeeded()
    assert "new_" in (restored.folder / "results/corpora/small/files.csv").read_text("utf-8")


def test_files_of_shards_that_are_gone(
    restored: Finished, planned: Callable[..., list[str]], snakemake: Snakemake
) -> None:
    """They stay until manifests name others; a dry run removes nothing."""
    before, corpus = shards(restored), restored.folder / "results/corpora/small"

    def files(names: set[str]) -> list[Path]:
        found = [*corpus.glob("audio/s*"), *corpus.glob("codes/world/s*")]
        return [path for path in found if path.name.split(".")[0] in names]

    config = configured(restored, "audio.shard_minutes", 0.8)
    assert "manifests small" in planned(config=config)
    assert len(files(set(before))) == 5 * len(before)
    target = "results/corpora/small/cuts_train.jsonl.gz"
    make(restored, snakemake, target, config=config).succeeded()
    gone = set(before) - set(shards(restored))
    assert gone
    assert files(gone) == []
    assert len(files(set(shards(restored)))) >= 3 * len(shards(restored))
