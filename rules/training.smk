rule select_cuts:
    input:
        text=lambda w: expand("results/text/{text}/cuts_{split}.jsonl.gz", text=text_of(w.experiment), split=SPLITS),
        codes=lambda w: of_shards(
            "results/corpora/{corpus}/codes/{shard}.jsonl.gz", CONFIG.experiments[w.experiment].corpora
        ),
    output:
        train="results/{experiment}/cuts/train.jsonl.gz",
        dev="results/{experiment}/cuts/dev.jsonl.gz",
        test="results/{experiment}/cuts/test.jsonl.gz",
        excluded="results/{experiment}/cuts/excluded.csv",
    log:
        "logs/select_cuts/{experiment}.log",
    benchmark:
        "results/benchmarks/select_cuts/{experiment}.tsv"
    params:
        limits=lambda w: section(CONFIG.experiments[w.experiment].limits),
        code=digest_of("revoice.data"),
    resources:
        mem_mb=2000,
        runtime=60,
    message:
        "{wildcards.experiment}: joining codes and text, leaving out what does not fit"
    script:
        "../scripts/select_cuts.py"


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
            files["init"] = initial_part(experiment.init, part)
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
    "revoice.training", "revoice.data", "revoice.model", "revoice.metrics", "revoice.optim", "revoice.lora"
)


rule train_ar:
    input:
        unpack(training_inputs("ar")),
    output:
        weights="results/{experiment}/ar/model.safetensors",
        meta="results/{experiment}/ar/model.json",
        metrics="results/{experiment}/ar/metrics.csv",
        training="results/{experiment}/ar/training.json",
    log:
        "logs/train_ar/{experiment}.log",
    benchmark:
        "results/benchmarks/train_ar/{experiment}.tsv"
    params:
        run=stage_params("ar"),
        code=TRAINING_CODE,
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=gpus("train"),
    message:
        "{wildcards.experiment}: training the AR"
    script:
        "../scripts/train_ar.py"


rule train_nar:
    input:
        unpack(training_inputs("nar")),
    output:
        weights="results/{experiment}/nar/model.safetensors",
        meta="results/{experiment}/nar/model.json",
        metrics="results/{experiment}/nar/metrics.csv",
        training="results/{experiment}/nar/training.json",
    log:
        "logs/train_nar/{experiment}.log",
    benchmark:
        "results/benchmarks/train_nar/{experiment}.tsv"
    params:
        run=stage_params("nar"),
        code=TRAINING_CODE,
    threads: 2
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=gpus("train"),
    message:
        "{wildcards.experiment}: training the NAR"
    script:
        "../scripts/train_nar.py"


rule assemble:
    input:
        ar="results/{experiment}/ar/model.safetensors",
        nar="results/{experiment}/nar/model.safetensors",
    output:
        weights="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
    log:
        "logs/assemble/{experiment}.log",
    benchmark:
        "results/benchmarks/assemble/{experiment}.tsv"
    params:
        code=digest_of("revoice.checkpoints"),
    resources:
        mem_mb=4000,
        runtime=30,
    message:
        "{wildcards.experiment}: joining AR and NAR into one model"
    script:
        "../scripts/assemble.py"
