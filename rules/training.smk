# Before a corpus is encoded, or a codec fitted to it. Codes do not depend on limits, which are an
# experiment's: what is there stays, and select_cuts says the same of it.
rule check_limits:
    input:
        lambda w: sorted(
            {
                path
                for experiment in experiments.limits_on(CONFIG, w.corpus).values()
                for paths in experiment["manifests"].values()
                for path in paths
            }
        ),
    output:
        touch("results/corpora/{corpus}/limits.done"),
    log:
        log="logs/check_limits/{corpus}.log",
        excluded="logs/check_limits/{corpus}.csv",  # where nothing is left
    benchmark:
        "results/benchmarks/check_limits/{corpus}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(30),
    params:
        experiments=lambda w: experiments.limits_on(CONFIG, w.corpus),
        validated=experiments.validated(CONFIG),
        code=code_of("check_limits"),
    message:
        "{wildcards.corpus}: whether limits leave any of its cuts"
    script:
        "../scripts/check_limits.py"


rule select_cuts:
    input:
        unpack(lambda w: experiments.aligned_from(CONFIG, w.experiment)),
        train=lambda w: f"results/text/{experiments.text_of(CONFIG, w.experiment)}/cuts_train.jsonl.gz",
        dev=lambda w: f"results/text/{experiments.text_of(CONFIG, w.experiment)}/cuts_dev.jsonl.gz",
        test=lambda w: f"results/text/{experiments.text_of(CONFIG, w.experiment)}/cuts_test.jsonl.gz",
        codes=lambda w: codes_of(w, "jsonl.gz"),
        codec=codec_file("codec.json"),
        tokenizer=lambda w: experiments.tokenizer_of(CONFIG, w.experiment),
    output:
        train="results/{experiment}/cuts/train.jsonl.gz",
        dev="results/{experiment}/cuts/dev.jsonl.gz",
        test="results/{experiment}/cuts/test.jsonl.gz",
        aligner="results/{experiment}/cuts/aligner.safetensors",
        digests="results/{experiment}/cuts/digests.json",
        excluded="results/{experiment}/cuts/excluded.csv",
    log:
        log="logs/select_cuts/{experiment}.log",
        excluded="logs/select_cuts/{experiment}.csv",  # where nothing is left
    benchmark:
        "results/benchmarks/select_cuts/{experiment}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        limits=lambda w: section(CONFIG.experiments[w.experiment].limits),
        validated=experiments.validated(CONFIG),
        seed=CONFIG.split.seed,
        code=code_of("select_cuts"),
    message:
        "{wildcards.experiment}: joining codes and text, leaving out what does not fit"
    script:
        "../scripts/select_cuts.py"


# What is there stays until what takes its place is there: `update`. Of such files alone Snakemake
# would think, after a job that failed, that they are what was asked for. `training.json` is gone
# then, and whatever reads a model reads it.
rule train_ar:
    input:
        unpack(lambda w: experiments.training_inputs(CONFIG, w.experiment, "ar")),
        codes=lambda w: codes_of(w, "h5"),
        codec=codec_file("codec.json"),
    output:
        weights=update("results/{experiment}/ar/model.safetensors"),
        meta=update("results/{experiment}/ar/model.json"),
        metrics=update("results/{experiment}/ar/metrics.csv"),
        training="results/{experiment}/ar/training.json",
    log:
        "logs/train_ar/{experiment}.log",
    benchmark:
        "results/benchmarks/train_ar/{experiment}.tsv"
    conda:
        "../envs/training.yaml"
    threads: lambda w: experiments.training_threads(CONFIG, w.experiment, TRAINING_CORES)
    resources:
        mem_mb=grown(8000),
        runtime=1440,
        gpu=GPU,
    params:
        run=lambda w: experiments.training_params(CONFIG, w.experiment, "ar"),
        code=code_of("train"),
    message:
        "{wildcards.experiment}: training the AR"
    script:
        "../scripts/train.py"


use rule train_ar as train_nar with:
    input:
        unpack(lambda w: experiments.training_inputs(CONFIG, w.experiment, "nar")),
        codes=lambda w: codes_of(w, "h5"),
        codec=codec_file("codec.json"),
    output:
        weights=update("results/{experiment}/nar/model.safetensors"),
        meta=update("results/{experiment}/nar/model.json"),
        metrics=update("results/{experiment}/nar/metrics.csv"),
        training="results/{experiment}/nar/training.json",
    log:
        "logs/train_nar/{experiment}.log",
    benchmark:
        "results/benchmarks/train_nar/{experiment}.tsv"
    params:
        run=lambda w: experiments.training_params(CONFIG, w.experiment, "nar"),
        code=code_of("train"),
    message:
        "{wildcards.experiment}: training the NAR"
