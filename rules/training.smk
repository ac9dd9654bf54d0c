rule select_cuts:
    input:
        train=lambda w: f"results/text/{text_of(w.experiment)}/cuts_train.jsonl.gz",
        dev=lambda w: f"results/text/{text_of(w.experiment)}/cuts_dev.jsonl.gz",
        test=lambda w: f"results/text/{text_of(w.experiment)}/cuts_test.jsonl.gz",
        codes=lambda w: of_shards(
            "results/corpora/{corpus}/codes/{shard}.jsonl.gz",
            CONFIG.experiments[w.experiment].corpora,
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
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        limits=lambda w: section(CONFIG.experiments[w.experiment].limits),
        code=digest_of("revoice.training.data", "revoice.training.examples"),
    message:
        "{wildcards.experiment}: joining codes and text, leaving out what does not fit"
    script:
        "../scripts/select_cuts.py"


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
    conda:
        "../envs/training.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=grown(8000),
        runtime=1440,
        gpu=GPU,
    params:
        run=stage_params("ar"),
        code=TRAINING_CODE,
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
    conda:
        "../envs/training.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=grown(8000),
        runtime=1440,
        gpu=GPU,
    params:
        run=stage_params("nar"),
        code=TRAINING_CODE,
    message:
        "{wildcards.experiment}: training the NAR"
    script:
        "../scripts/train_nar.py"
