import gc
import hashlib
import os
import re
import shutil
import signal
from pathlib import Path

from revoice.config_file import load_config
from revoice.corpus.index import index_corpus
from revoice.corpus.naming import corpus_root, listed_shards
from revoice.files import read_json, sha256
from revoice.text import load_tokenizer
from revoice.workflow.scripts import digest_of, share_library, free_stale_locks

share_library()

try:
    CONFIG = load_config(config, " + ".join(map(str, workflow.configfiles)) or "config.yaml")
except ValueError as error:
    raise WorkflowError(str(error))

if workflow.is_main_process:
    free_stale_locks(Path(".snakemake"))
    # Files and jobs are many, and stay: looking for garbage among them is a fifth of the planning.
    gc.set_threshold(100_000, 50, 1000)
else:
    # SLURM announces a time limit to all processes of a job (`--signal=USR1@180`). It is meant for
    # trainings: Snakemake and its shells, which inherit this, do not die of it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

CORPORA = {name: CONFIG.corpora[name] for e in CONFIG.experiments.values() for name in e.corpora}
# This workflow's own folder, also where another workflow takes it as a module.
PROJECT = Path(os.path.relpath(workflow.current_basedir)).parent
RESOURCES = PROJECT / "resources"
SPLITS = ["train", "dev", "test"]
# The WORLD codec is fitted on the first experiment's training speech.
FIT_CORPORA = next(iter(CONFIG.experiments.values())).corpora


wildcard_constraints:
    corpus="|".join(map(re.escape, CORPORA)),
    shard=r"s[01]*",
    experiment="|".join(map(re.escape, CONFIG.experiments)),
    part="ar|nar",
    split="train|dev|test",
    language="[a-z]+",


def corpus_shards(name):
    """The shards of a corpus. Jobs take the lists as the main process has left them."""
    folder = Path("results/corpora") / name
    if not workflow.is_main_process:
        return listed_shards(folder)
    try:
        return index_corpus(CORPORA[name], folder, 60 * CONFIG.audio.shard_minutes)
    except (ValueError, OSError) as error:
        raise WorkflowError(f"corpora.{name}: {error}")


def is_there(name):
    """Whether the files of a corpus are there, or are known before they are fetched."""
    corpus = CORPORA[name]
    return corpus.kind not in {"libritts", "ljspeech"} or Path(corpus.path).exists()


SHARDS = {name: corpus_shards(name) for name in CORPORA if is_there(name)}


def shards_of(name):
    """The shards of a corpus, which is fetched first where it is not there."""
    if name not in SHARDS:
        checkpoints.fetch_recipe.get(corpus=name)
        SHARDS[name] = corpus_shards(name)
    return SHARDS[name]


def transcripts_of(name):
    """The list of a corpus's transcripts, which comes with that of its shards."""
    shards_of(name)
    return f"results/corpora/{name}/transcripts.tsv"


def section(model, *keys):
    """A part of the configuration, or some keys of it, as plain values for `params`."""
    return model.model_dump(mode="json", include=set(keys) or None)


def of_shards(pattern, corpora):
    """`pattern` for every shard of the corpora, in the order of their names."""
    return [
        pattern.format(corpus=corpus, shard=shard)
        for corpus in corpora
        for shard in shards_of(corpus)
    ]


def text_of(name):
    """Which tokenized text an experiment reads: experiments with the same data share one."""
    experiment = CONFIG.experiments[name]
    text = f"{'+'.join(experiment.corpora)}.{experiment.tokenizer}"
    if experiment.new_languages:
        text += "+" + "+".join(experiment.new_languages)
    if symbol_table(name):
        init = experiment.init
        text += f"@{init if init in CONFIG.experiments else given_name(init)}"
    return text


def symbol_table(name):
    """The table that an experiment's tokenizer goes on from, where the initial model has its own."""
    experiment = CONFIG.experiments[name]
    if experiment.init in CONFIG.experiments:
        return tokenizer_of(experiment.init) if has_own_table(experiment.init) else None
    given = experiment.init not in {"scratch", "vallex"}
    if given and (experiment.tokenizer == "espeak" or experiment.init.endswith(".safetensors")):
        return table_beside(experiment.init)
    return None


def table_beside(init):
    """The symbol table that lies with a model's file: revoice's own, or Lifeiteng's."""
    here = Path(init).parent
    own = init.endswith(".safetensors")
    names = ["tokenizer.json"]
    if not own:
        names = [f"{Path(init).stem}.k2symbols", K2SYMBOLS, *names]
    return next((str(here / table) for table in names if (here / table).exists()), None)


def has_own_table(name):
    """Whether the symbol table of an experiment is another than the published model's."""
    experiment = CONFIG.experiments[name]
    own = experiment.tokenizer == "espeak" or experiment.new_languages
    return own or symbol_table(name) is not None


K2SYMBOLS = "unique_text_tokens.k2symbols"  # as Lifeiteng's preparation names it


def tokenizer_of(name):
    """The tokenizer file of an experiment."""
    return f"results/text/{text_of(name)}/tokenizer.json"


def initial_model(init, part):
    """The weights that a part starts from: an experiment's, or a checkpoint's."""
    if init in CONFIG.experiments:
        return f"results/{init}/{part}/model.safetensors"
    if init.endswith(".safetensors"):
        return init
    return f"results/pretrained/{given_name(init)}/model.safetensors"


def given_name(init):
    """What a model that is given as a file is called here, or `vallex`."""
    if init == "vallex":
        return init
    path = Path(os.path.normpath(init))
    readable = path.parent.name if path.stem == "model" else path.stem
    return f"{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def check_symbols(name):
    """That the table of a model given as a file is there, and of the experiment's tokenizer."""
    experiment, table = CONFIG.experiments[name], symbol_table(name)
    try:
        found = load_tokenizer(table).name if table else "vallex"
    except ValueError as error:
        raise WorkflowError(f"experiments.{name}.init: {error}")
    if not table and experiment.tokenizer != found:
        own = experiment.init.endswith(".safetensors")
        missing = Path(experiment.init).parent / ("tokenizer.json" if own else K2SYMBOLS)
        raise WorkflowError(
            f"experiments.{name}: `init: {experiment.init}` with `tokenizer: espeak` needs the "
            f"symbol table that the model was trained with: put it at {missing}"
        )
    if experiment.tokenizer != found:
        raise WorkflowError(
            f"experiments.{name}: {table} is a table of the tokenizer {found}: "
            f"set `tokenizer: {found}`"
        )


# Models that are given as files, by their names, with the experiments that start from them
GIVEN = {}
for name, experiment in CONFIG.experiments.items():
    if experiment.init not in {"scratch", *CONFIG.experiments}:
        GIVEN.setdefault(given_name(experiment.init), []).append(name)
        if experiment.init != "vallex":
            check_symbols(name)
TEXTS = {text_of(name): name for name in reversed(CONFIG.experiments)}


def checkpoint_file(name):
    """The file of a model in an original's form."""
    return (
        "data/pretrained/vallex.pt" if name == "vallex" else CONFIG.experiments[GIVEN[name][0]].init
    )


def of_text(w):
    """The first of the experiments that read a tokenized text."""
    return CONFIG.experiments[TEXTS[w.text]]


def checkpoint_of(w):
    """The record of the published checkpoint's download, or a checkpoint's own file."""
    return f"data/pretrained/{w.name}.json" if w.name == "vallex" else checkpoint_file(w.name)


def symbols_of(w):
    """The symbol table of a checkpoint, where an experiment reads it."""
    return next(filter(None, map(symbol_table, GIVEN[w.name])), [])


def grown(amount, per_shard_minute=0):
    """A resource of a job: more for longer shards, and more again with each attempt."""
    amount = int(amount + per_shard_minute * CONFIG.audio.shard_minutes)
    return lambda w, attempt: amount * attempt


def indexed_minutes(corpora):
    """How long the corpora are, roughly, as far as they are there."""
    return CONFIG.audio.shard_minutes * sum(len(SHARDS.get(name, [])) for name in corpora)


# A GPU is a resource, so that two trainings do not share one. Where the driver shows none, no job
# asks for any; `--resources gpu=4 --set-resources train_ar:gpu=4` trains on four.
GPU = int(shutil.which("nvidia-smi") is not None)


# AR and NAR train side by side, each on half of the cores that there are and may be used.
CORES = workflow.global_resources["_cores"].value
TRAINING_THREADS = max(1, min(CORES if isinstance(CORES, int) else 2, os.cpu_count() or 1) // 2)


def training_inputs(part):
    """What the training of a part reads."""

    def inputs(w):
        experiment = CONFIG.experiments[w.experiment]
        files = {
            "train": f"results/{w.experiment}/cuts/train.jsonl.gz",
            "dev": f"results/{w.experiment}/cuts/dev.jsonl.gz",
            "codes": of_shards("results/corpora/{corpus}/codes/{shard}.h5", experiment.corpora),
            "tokenizer": tokenizer_of(w.experiment),
            "codec": "results/codec/codec.json",
        }
        if experiment.init != "scratch":
            files["init"] = initial_model(experiment.init, part)
            files["init_meta"] = str(Path(files["init"]).with_suffix(".json"))
        return files

    return inputs


def stage_params(part):
    """The configuration that the training of a part needs, and nothing else."""

    def params(w):
        experiment = CONFIG.experiments[w.experiment]
        stage = getattr(experiment, part)
        return {
            "stage": section(stage) if stage else None,
            "model": section(experiment.model) if experiment.init == "scratch" else None,
            "new_languages": experiment.new_languages,
        }

    return params


TRAINING_CODE = digest_of(
    "revoice.training.state",
    "revoice.evaluation.evaluate",
    "revoice.training.launch",
    "revoice.training.train",
    "revoice.training.data",
    "revoice.model.valle",
    "revoice.model.losses",
    "revoice.training.optim",
    "revoice.model.finetune",
    "revoice.model.checkpoint",
)


def trained_files(name):
    """A file that each training leaves, of all parts that are trained."""
    return [
        f"results/{experiment}/{part}/{name}"
        for experiment, configured in CONFIG.experiments.items()
        for part in ("ar", "nar")
        if getattr(configured, part)
    ]


# What decides about the codec. More speech, or a mended transcript, does not: it is fitted once, and
# the codes of what is there stay.
CODEC_SETTINGS = {
    "codec": section(CONFIG.codec),
    "loudness": CONFIG.audio.loudness,
    "code": digest_of("revoice.codec"),
    "script": sha256(PROJECT / "scripts" / "fit_codec.py"),
}


def fitting_speech():
    """The speech that the codec is fitted on. Once that is done it is no reason for anything.

    `ancient` alone would not do: of jobs below a job that runs, ancient inputs or not, Snakemake
    asks for no other reason to run, so that encodings that are due would be left out.
    """
    made = Path("results/codec/settings.json")
    if made.exists():
        fitted = read_json(made)
        if fitted.get("settings") == CODEC_SETTINGS and all(map(os.path.exists, fitted["cuts"])):
            return ancient(before_update(fitted["cuts"]))
    return expand("results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=FIT_CORPORA)
