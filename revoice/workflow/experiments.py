"""What an experiment reads and where it lies: from the configuration to names of files."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from revoice.config import ORIGINALS, SPLITS, Config, Part, Split
from revoice.config_training import TrainConfig
from revoice.files import RESOURCES, read_json
from revoice.workflow.code import codec_code

BASE = RESOURCES / "base" / "model.safetensors"  # of the base voice; the rest lies beside it
LONGEST = 190  # bytes of a name made of several: a file's may have 255, with what is added to it
K2SYMBOLS = "unique_text_tokens.k2symbols"  # as Lifeiteng's preparation names its table


def one_of(names: Iterable[str]) -> str:
    """A pattern for wildcards that matches these names, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def bounded(name: str) -> str:
    """A name of at most `LONGEST` bytes: of too long a one the end is a digest."""
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: LONGEST - 17]}-{digest}"


def start(config: Config, name: str) -> str:
    """What an experiment starts from: its `init`, and for `base` the path of that model.

    As seen from the run's folder: the project, with what it made, may be moved.
    """
    init = config.experiments[name].init
    return os.path.relpath(BASE) if init == "base" else init


def text_of(config: Config, name: str) -> str:
    """Which tokenized text an experiment reads: experiments with the same data share one."""
    experiment = config.experiments[name]
    text = f"{'+'.join(experiment.corpora)}.{experiment.tokenizer}"
    if experiment.new_languages:
        text += "+" + "+".join(experiment.new_languages)
    if symbol_table(config, name):
        init = start(config, name)
        text += f"@{init if init in config.experiments else given_name(init)}"
    return bounded(text)


def limits_on(config: Config, corpus: str) -> dict[str, dict[str, Any]]:
    """Of each experiment that trains on a corpus its `limits`, and its manifests by split."""
    return {
        name: {
            "limits": experiment.limits.model_dump(mode="json"),
            "manifests": {split: manifests_of(config, name, split) for split in SPLITS},
        }
        for name, experiment in config.experiments.items()
        if corpus in experiment.corpora
    }


def manifests_of(config: Config, name: str, split: Split) -> list[str]:
    """The manifests of a split of an experiment's corpora."""
    corpora = config.experiments[name].corpora
    return [f"results/corpora/{corpus}/cuts_{split}.jsonl.gz" for corpus in corpora]


def tokenizer_of(config: Config, name: str) -> str:
    """The tokenizer file of an experiment."""
    return f"results/text/{text_of(config, name)}/tokenizer.json"


def symbol_table(config: Config, name: str) -> str | None:
    """The table that an experiment's tokenizer goes on from, where `init` has one of its own."""
    experiment, init = config.experiments[name], start(config, name)
    if init in config.experiments:
        return tokenizer_of(config, init) if _has_own_table(config, init) else None
    given = init not in {"scratch", "vallex"}
    if given and (experiment.tokenizer == "espeak" or init.endswith(".safetensors")):
        return _table_beside(init)
    return None


def _has_own_table(config: Config, name: str) -> bool:
    """Whether the symbol table of an experiment is another than the published model's."""
    experiment = config.experiments[name]
    own = experiment.tokenizer == "espeak" or bool(experiment.new_languages)
    return own or symbol_table(config, name) is not None


def _table_beside(init: str) -> str | None:
    """The symbol table that lies with a model's file: revoice's own, or Lifeiteng's."""
    names = ["tokenizer.json"]
    if not init.endswith(".safetensors"):
        names = [f"{Path(init).stem}.k2symbols", K2SYMBOLS, *names]
    tables = [Path(init).parent / table for table in names]
    return next((str(table) for table in tables if table.exists()), None)


def initial_model(config: Config, name: str, part: Part) -> str | None:
    """The weights that a part starts from: an experiment's, or a checkpoint's; None: nothing."""
    init = start(config, name)
    if init == "scratch":
        return None
    if init in config.experiments:
        return f"results/{init}/{part}/model.safetensors"
    if init.endswith(".safetensors"):
        return init
    return f"results/pretrained/{given_name(init)}/model.safetensors"


def given_name(init: str) -> str:
    """What a model that is given as a path is called here, or `vallex`, or `base`."""
    words = {"vallex": "vallex", os.path.relpath(BASE): "base"}
    if init in words:
        return words[init]
    path = Path(os.path.normpath(init))
    readable = path.parent.name if path.stem == "model" else path.stem
    readable = re.sub(r"[^A-Za-z0-9_.+-]", "_", readable)[:100]
    return f"{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def given_models(config: Config) -> dict[str, list[str]]:
    """Models that are given as files, by their names, with the experiments that start from them."""
    models: dict[str, list[str]] = {}
    for name in config.experiments:
        if (init := start(config, name)) not in {"scratch", *config.experiments}:
            models.setdefault(given_name(init), []).append(name)
    return models


def origin(config: Config, name: str) -> str:
    """What an experiment starts from in the end: scratch, vallex, or a path."""
    init = start(config, name)
    return origin(config, init) if init in config.experiments else init


def codec_of(config: Config, name: str) -> str:
    """The codec of an experiment: as configured, or the one that came with its initial model.

    WORLD's is moved to the experiment's speech, and named by that: `base@mine`.
    """
    experiment, own = config.experiments[name], config.codec_of(name)
    if experiment.init in config.experiments and not experiment.codec:
        return codec_of(config, experiment.init)
    init = origin(config, name)
    beside = Path(init).with_name("codec.json")
    if experiment.codec or own not in (None, "base") or not beside.exists():
        return own or "encodec"
    given = given_name(init)
    moved = bounded(f"{given}@{'+'.join(experiment.corpora)}")
    return moved if read_json(beside)["name"] == "world" else given


def given_codecs(config: Config) -> dict[str, str]:
    """The codecs that came with models that are given as files: name to codec.json."""
    found = {codec_of(config, name): origin(config, name) for name in config.experiments}
    if "base" in found:  # a model may start from scratch with it
        found["base"] = os.path.relpath(BASE)
    return {
        codec: str(Path(model).with_name("codec.json"))
        for codec, model in found.items()
        if codec not in config.codecs
    }


def experiments_with(config: Config, codec: str) -> list[str]:
    """The experiments that take a codec, in their order."""
    return [name for name in config.experiments if codec_of(config, name) == codec]


def need_encodec(config: Config, codec: str) -> list[str]:
    """The experiments for which nothing can step in: what they start from knows EnCodec's codes."""
    origins = {name: origin(config, name) for name in experiments_with(config, codec)}
    return [n for n, init in origins.items() if codec_said(init).get("name") == "encodec_24khz"]


def codec_said(init: str) -> dict[str, Any]:
    """What a model that is given as a file says of its codec; originals were trained on EnCodec."""
    if init == "vallex" or Path(init).suffix in ORIGINALS:
        return {"name": "encodec_24khz"}
    meta = Path(init).with_suffix(".json")
    return (read_json(meta).get("codec") or {}) if init != "scratch" and meta.exists() else {}


def codec_seed(config: Config, name: str) -> dict[str, int]:
    """The seed that an experiment's codec was fitted with; nothing where it came with a model."""
    codec = config.codecs.get(codec_of(config, name))
    return {"codec": codec.seed} if codec else {}


def codec_settings(config: Config, codec: str) -> dict[str, Any]:
    """What decides about a codec. More speech, or a mended transcript, does not.

    It is fitted once, and the codes of what is there stay.
    """
    settings: dict[str, Any] = {"loudness": config.audio.loudness}
    configured = config.codecs.get(codec)
    if not configured:
        code = codec_code(codec_kind(config, codec), None, None)
        return settings | {"codec": given_codecs(config)[codec], "code": code}
    code = codec_code(configured.kind, configured.fallback, made(codec))
    return settings | {"codec": configured.model_dump(mode="json"), "code": code}


def codec_kind(config: Config, codec: str) -> str:
    """The kind of a codec as configured, in whose place WORLD may step, or as it came."""
    configured = config.codecs.get(codec)
    return configured.kind if configured else read_json(given_codecs(config)[codec])["name"]


def decoder_of(config: Config, name: str) -> str | list[str]:
    """The record of Vocos, where it is to make sound of the codes of an experiment."""
    codec = codec_of(config, name)
    wanted = config.synthesis.decoder == "vocos" and codec_kind(config, codec) == "encodec_24khz"
    return f"results/codecs/{codec}/decoder.json" if wanted else []


def decoder_code(config: Config, name: str) -> dict[str, str] | None:
    """Digests of the code that makes sound of the codes of an experiment, if not its codec's."""
    return codec_code("vocos", None, None) if decoder_of(config, name) else None


def fitted_on(config: Config, codec: str) -> list[str]:
    """The manifests that a codec was fitted on, if it is as configured and they are there."""
    there, settings = made(codec), codec_settings(config, codec)
    if any(there.get(key) != settings[key] for key in ("codec", "loudness")):
        return []
    return list(there["cuts"]) if all(map(os.path.exists, there["cuts"])) else []


def made(codec: str, file: str = "settings.json") -> dict[str, Any]:
    """What a file beside a codec that was made says; nothing where it is not there."""
    path = Path(f"results/codecs/{codec}/{file}")
    return read_json(path) if path.exists() else {}


def fitting_corpora(config: Config, codec: str) -> list[str]:
    """The corpora that a codec is fitted on, or moved to: those named, or its experiment's."""
    configured, moved = config.codecs.get(codec), "@" in codec
    if not moved and (not configured or "world" not in (configured.kind, configured.fallback)):
        return []
    if configured and configured.fit:
        return configured.fit
    if not (using := experiments_with(config, codec)):
        raise ValueError(f"no experiment takes codecs.{codec}: name its corpora in `fit`")
    return list(config.experiments[using[0]].corpora)


def validated(config: Config) -> bool:
    """Whether trainings need cuts to be validated on, as the splits are configured."""
    return bool(config.split.dev or config.split.dev_speakers)


def training_inputs(config: Config, name: str, part: Part) -> dict[str, str]:
    """What the training of a part reads, besides codes and codec."""
    files = {split: f"results/{name}/cuts/{split}.jsonl.gz" for split in ("train", "dev")}
    files["digests"] = f"results/{name}/cuts/digests.json"
    if part == "nar":
        files["aligner"] = f"results/{name}/cuts/aligner.safetensors"
    files["tokenizer"] = tokenizer_of(config, name)
    return files | initial_files(config, name, part)


def initial_files(config: Config, name: str, part: Part) -> dict[str, str]:
    """What a part starts from, if it is anything: `init`, and what belongs to it."""
    if not (init := initial_model(config, name, part)):
        return {}
    files = {"init": init, "init_meta": str(Path(init).with_suffix(".json"))}
    if config.experiments[name].init in config.experiments:
        files["trained"] = str(Path(init).with_name("training.json"))
    return files


def aligned_from(config: Config, name: str) -> dict[str, str]:
    """The file of the aligner to start from: another experiment's, or a model's."""
    init = start(config, name)
    if init in config.experiments:
        return {"aligner": f"results/{init}/cuts/aligner.safetensors"}
    return {"aligner": init} if init.endswith(".safetensors") else {}


def evaluated_from(config: Config, name: str) -> dict[str, str]:
    """The files of `initial_files` of both parts: `init_ar`, `init_nar`, ..."""
    return {
        f"{key}_{part}": path
        for part in get_args(Part)
        for key, path in initial_files(config, name, part).items()
    }


def initial_params(config: Config, name: str) -> dict[str, Any]:
    """How the parts grow before their training: new languages, and seeds of the new rows."""
    experiment = config.experiments[name]
    untrained = TrainConfig(steps=1)  # as a part that is not trained is taken over
    seeds = {part: (getattr(experiment, part) or untrained).seed for part in get_args(Part)}
    return {"languages": experiment.new_languages, "seeds": seeds}


def training_threads(config: Config, name: str, cores: int) -> int:
    """The cores for each part: AR and NAR share them where both are trained."""
    experiment = config.experiments[name]
    trained = sum(part is not None for part in (experiment.ar, experiment.nar))
    return max(1, cores // max(1, trained))


def training_params(config: Config, name: str, part: Part) -> dict[str, Any]:
    """The configuration that the training of a part needs, and nothing else."""
    experiment = config.experiments[name]
    train = getattr(experiment, part)
    scratch = experiment.init == "scratch"
    return {
        "part": part,
        "train": train.model_dump(mode="json") if train else None,
        "model": experiment.model.model_dump(mode="json") if scratch else None,
        "new_languages": experiment.new_languages,
        "weights": weights_of(config, name),
    }


def weights_of(config: Config, name: str) -> dict[str, float] | None:
    """What an experiment's corpora weigh in an epoch, to one another; None: their own size."""
    corpora = config.experiments[name].corpora
    return corpora if isinstance(corpora, dict) else None


def corpora_in_words(config: Config, name: str) -> str:
    """What an experiment is trained on, for its tables: `mine (weight 3) + asterisk (weight 1)`."""
    weighed = (weights_of(config, name) or {}).items()
    plain = list(config.experiments[name].corpora)
    return " + ".join([f"{corpus} (weight {weight:g})" for corpus, weight in weighed] or plain)


def synthesis_seeds(config: Config) -> int | str:
    """The seed that sentences are spoken with, or of several the first and the last."""
    first, times = config.synthesis.seed, config.synthesis.repeats
    return first if times == 1 else f"{first} to {first + times - 1}"


def whisper_of(config: Config) -> str | None:
    """What the Whisper that hears the scores is called in `results/recognizers`; None: another."""
    return _whisper_name(config.score.model) if config.score.recognizer == "whisper" else None


def hearing_of(config: Config) -> str:
    """What the Whisper that writes down raw recordings is called in `results/recognizers`."""
    return _whisper_name(config.recordings.recognizer)


def whisper_model(config: Config, name: str) -> str:
    """The Whisper by that name, as the configuration has it: a name, or the path of its folder."""
    given = (config.score.model, config.recordings.recognizer)
    return next((model for model in given if _whisper_name(model) == name), name)


def whisper_files(config: Config, name: str) -> list[str]:
    """The weights of a Whisper by that name, where its folder is given."""
    model = whisper_model(config, name)
    return [str(Path(model, "model.bin"))] if "/" in model else []


def _whisper_name(model: str) -> str:
    return given_name(model) if "/" in model else model


def trained_files(config: Config, file: str) -> list[str]:
    """A file that each training leaves, of all parts that are trained."""
    return [
        f"results/{name}/{part}/{file}"
        for name, experiment in config.experiments.items()
        for part in get_args(Part)
        if getattr(experiment, part)
    ]


def checkpoint_file(config: Config, model: str) -> str:
    """The file of a given model in an original's form."""
    if model == "vallex":
        return "data/pretrained/vallex.pt"
    return start(config, given_models(config)[model][0])


def checkpoint_of(config: Config, model: str) -> str:
    """The record of the published checkpoint's download, or a checkpoint's own file."""
    return f"data/pretrained/{model}.json" if model == "vallex" else checkpoint_file(config, model)


def symbols_of(config: Config, model: str) -> str | list[str]:
    """The symbol table of a given model, where an experiment reads it."""
    tables = (symbol_table(config, name) for name in given_models(config)[model])
    return next(filter(None, tables), [])
