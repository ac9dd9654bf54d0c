import re
from pathlib import Path

from revoice.config import load_config
from revoice.corpus import index_corpus, listed_shards
from revoice.workflow import digest_of

try:
    CONFIG = load_config(config, " + ".join(map(str, workflow.configfiles)) or "config.yaml")
except ValueError as error:
    raise WorkflowError(str(error))

CORPORA = {name: CONFIG.corpora[name] for e in CONFIG.experiments.values() for name in e.corpora}
RESOURCES = Path(workflow.basedir) / "resources"
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
    except ValueError as error:
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


def section(model):
    """A part of the configuration as plain values, for `params`."""
    return model.model_dump(mode="json")


def of_shards(pattern, corpora):
    """`pattern` for every shard of the corpora, in the order of their names."""
    return [
        pattern.format(corpus=corpus, shard=shard) for corpus in corpora for shard in shards_of(corpus)
    ]


def text_of(name):
    """Which tokenized text an experiment reads: experiments with the same data share one."""
    experiment = CONFIG.experiments[name]
    text = f"{'+'.join(experiment.corpora)}.{experiment.tokenizer}"
    # a tokenizer with a table of its own goes on from the table of the model it starts from
    if experiment.tokenizer == "espeak" and experiment.init in CONFIG.experiments:
        text += f"@{experiment.init}"
    return text


TEXTS = {text_of(name): experiment for name, experiment in CONFIG.experiments.items()}


def tokenizer_of(name):
    """The tokenizer file of an experiment."""
    return f"results/text/{text_of(name)}/tokenizer.json"


def initial_model(init, part):
    """The weights that a part starts from: an experiment's, or a checkpoint's."""
    if init in CONFIG.experiments:
        return trained_part(init, part)
    if init.endswith(".safetensors"):
        return init
    return f"results/pretrained/{checkpoint_name(init)}/model.safetensors"


def trained_part(name, part):
    """A part of an experiment: what was trained, or what it starts from where it is not trained."""
    experiment = CONFIG.experiments[name]
    if getattr(experiment, part):
        return f"results/{name}/{part}/model.safetensors"
    return initial_model(experiment.init, part)


def checkpoint_name(init):
    """What a checkpoint of the original's form is called here: `vallex`, or its file's name."""
    return init if init == "vallex" else Path(init).stem


CHECKPOINTS = {
    checkpoint_name(init): "data/pretrained/vallex.pt" if init == "vallex" else init
    for init in (experiment.init for experiment in CONFIG.experiments.values())
    if init != "scratch" and init not in CONFIG.experiments and not init.endswith(".safetensors")
}


def checkpoint_of(w):
    """The record of the published checkpoint's download, or a checkpoint's own file."""
    return f"data/pretrained/{w.name}.json" if w.name == "vallex" else CHECKPOINTS[w.name]


def gpus(rule):
    """GPUs that a job of a rule takes: so that two trainings do not share one card."""
    return workflow.global_resources.get("gpu", 0) and 1


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
    "revoice.training",
    "revoice.data",
    "revoice.model",
    "revoice.metrics",
    "revoice.optim",
    "revoice.lora",
)
