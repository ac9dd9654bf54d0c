# The WORLD codec is fitted on the first experiment's training speech.
FIT_CORPORA = next(iter(CONFIG.experiments.values())).corpora


rule fetch_codec:
    output:
        choice="results/codec/choice.json",
    log:
        "logs/fetch_codec.log",
    benchmark:
        "results/benchmarks/fetch_codec.tsv"
    params:
        codec=section(CONFIG.codec),
        code=digest_of("revoice.codec.choice"),
    resources:
        mem_mb=500,
        runtime=60,
    message:
        "Fetching the codec's weights"
    script:
        "../scripts/fetch_codec.py"


# Fitted once: more speech, or a mended transcript, does not change the codes of what is there.
rule fit_codec:
    input:
        choice="results/codec/choice.json",
        cuts=ancient(
            expand("results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=FIT_CORPORA)
        ),
    output:
        codec="results/codec/codec.json",
        weights="results/codec/codec.safetensors",
    log:
        "logs/fit_codec.log",
    benchmark:
        "results/benchmarks/fit_codec.tsv"
    params:
        codec=section(CONFIG.codec),
        code=digest_of("revoice.codec"),
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    message:
        "Making the codec ready"
    script:
        "../scripts/fit_codec.py"


rule encode:
    input:
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
        audio="results/corpora/{corpus}/audio/{shard}",
        codec="results/codec/codec.json",
        weights="results/codec/codec.safetensors",
    output:
        cuts="results/corpora/{corpus}/codes/{shard}.jsonl.gz",
        codes="results/corpora/{corpus}/codes/{shard}.h5",
    log:
        "logs/encode/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/encode/{corpus}/{shard}.tsv"
    params:
        code=digest_of("revoice.codec", "revoice.encoding"),
    threads: 2
    resources:
        mem_mb=4000,
        runtime=lambda w, attempt: 60 * attempt,
        gpu=gpus("encode"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: audio to codes"
    script:
        "../scripts/encode.py"
