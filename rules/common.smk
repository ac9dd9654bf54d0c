import gc
import os
import shutil
import signal
from functools import partial
from pathlib import Path

from revoice.config_file import load_config
from revoice.corpus.index import index_corpus, read_index
from revoice.corpus.naming import corpus_root, is_known, records
from revoice.workflow import code, experiments, given, spoken
from revoice.workflow.locks import free_stale_locks
from revoice.workflow.scripts import share_library

share_library()

try:
    CONFIG = load_config(config, " + ".join(map(str, workflow.configfiles)) or "config.yaml")
    given.check_given(CONFIG)
except ValueError as error:
    raise WorkflowError(str(error))

if workflow.is_main_process:
    if not workflow.output_settings.dryrun:
        free_stale_locks(Path(".snakemake"))
    # Files and jobs are many, and stay: looking for garbage among them is a fifth of the planning.
    gc.set_threshold(100_000, 50, 1000)
else:
    # SLURM announces time limits to all of a job (`--signal=USR1@180`): only trainings heed them.
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

CORPORA = {name: CONFIG.corpora[name] for e in CONFIG.experiments.values() for name in e.corpora}
CORPORA |= {name: CONFIG.corpora[name] for codec in CONFIG.codecs.values() for name in codec.fit}
CORPORA |= {name: CONFIG.corpora[name] for c in list(CORPORA.values()) for name in c.held_out}
RECORDED = [name for name, corpus in CORPORA.items() if corpus.kind == "recordings"]
CODECS = {name: experiments.codec_of(CONFIG, name) for name in CONFIG.experiments}  # of experiments
GIVEN_CODECS = experiments.given_codecs(CONFIG)  # name to codec.json
TEXTS = {experiments.text_of(CONFIG, name): name for name in reversed(CONFIG.experiments)}
# Beside this folder, also where another workflow takes this one as a module.
PROJECT = Path(os.path.relpath(workflow.current_basedir)).parent
RESOURCES = PROJECT / "resources"
code_of = partial(code.code_of, PROJECT / "scripts")


wildcard_constraints:
    corpus=experiments.one_of(CORPORA),
    codec=experiments.one_of({*CONFIG.codecs, *GIVEN_CODECS}),
    shard=r"s[01]*",
    experiment=experiments.one_of(CONFIG.experiments),
    language="[a-z]+",


def index_now(name):
    """The index of a corpus now, and as it was written. Jobs do not look: they take the written."""
    folder = Path("results/corpora") / name
    try:
        written = read_index(folder / "index.json")
        if not workflow.is_main_process:
            return written, written
        now = index_corpus(CORPORA[name], folder, 60 * CONFIG.audio.shard_minutes)
    except (ValueError, OSError) as error:
        raise WorkflowError(f"corpora.{name}: {error}")
    return now._replace(lists={}), written


INDEXES = {name: index_now(name) for name in CORPORA if is_known(CORPORA[name])}


def index_of(name):
    """The index of a corpus, which is fetched first where it is not there."""
    if name not in INDEXES:
        checkpoints.fetch_recipe.get(corpus=name)
        INDEXES[name] = index_now(name)
    return INDEXES[name][0]


def shards_of(name):
    """The shards of a corpus, in the order of their names."""
    return sorted(index_of(name).shards)


def index_for(name, shard=None):
    """The written index, as input of what reads all of it, or one shard's list.

    It is a reason to run only where what is read of it has changed. `ancient` alone would not do:
    of jobs below a job that runs Snakemake asks for no other reason, and leaves out what is due.
    """
    now, written = index_of(name), INDEXES[name][1]
    files = [f"results/corpora/{name}/index.{end}" for end in ("json", "done")]
    same = now.shards[shard] == written.shards.get(shard) if shard else now.digest == written.digest
    return ancient(before_update(files)) if same else files


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


def codes_of(w, end):
    """The files of an experiment's codes, of all shards."""
    pattern = f"results/corpora/{{corpus}}/codes/{CODECS[w.experiment]}/{{shard}}.{end}"
    return of_shards(pattern, CONFIG.experiments[w.experiment].corpora)


def codec_file(name):
    """A file of an experiment's codec, as an input function."""
    return lambda w: f"results/codecs/{CODECS[w.experiment]}/{name}"


def fitting_speech(w):
    """The speech that a codec is fitted on; once that is done, no reason to run: see `index_for`."""
    if cuts := experiments.fitted_on(CONFIG, w.codec):
        return ancient(before_update(cuts))
    corpora = experiments.fitting_corpora(CONFIG, w.codec)
    return expand("results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=corpora)


def limits_checked(corpora, made):
    """That limits leave something of corpora; to what is made no reason to run: see `index_for`."""
    files = expand("results/corpora/{corpus}/limits.done", corpus=corpora)
    return ancient(before_update(files)) if os.path.exists(made) else files


def of_text(w):
    """The first of the experiments that read a tokenized text."""
    return CONFIG.experiments[TEXTS[w.text]]


def grown(amount, per_shard_minute=0):
    """A resource of a job: more for longer shards, and more again with each attempt."""
    amount = int(amount + per_shard_minute * CONFIG.audio.shard_minutes)
    return lambda w, attempt: amount * attempt


def indexed_minutes(corpora):
    """How long the corpora are, roughly, as far as they are there."""
    shards = sum(len(INDEXES[name][0].shards) for name in corpora if name in INDEXES)
    return CONFIG.audio.shard_minutes * shards


# A GPU is a resource, so that two trainings do not share one. Where the driver shows none, no job
# asks for any; `--resources gpu=4 --set-resources train_ar:gpu=4` trains on four.
GPU = int(shutil.which("nvidia-smi") is not None)

# The cores that there are and may be used, which AR and NAR share: they train side by side.
CORES = workflow.global_resources["_cores"].value
TRAINING_CORES = min(CORES if isinstance(CORES, int) else 2, os.cpu_count() or 1)
