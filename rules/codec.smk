rule fetch_codec:
    input:
        published=RESOURCES / "pretrained.yaml",
    output:
        choice="results/codec/choice.json",
    log:
        "logs/fetch_codec.log",
    benchmark:
        "results/benchmarks/fetch_codec.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=500,
        runtime=grown(60),
    params:
        codec=section(CONFIG.codec, "name", "fallback", "url"),
        code=digest_of("revoice.codec.choice"),
    message:
        "Fetching the codec's weights"
    script:
        "../scripts/fetch_codec.py"


rule fit_codec:
    input:
        choice="results/codec/choice.json",
        cuts=fitting_speech(),
    output:
        codec="results/codec/codec.json",
        weights="results/codec/codec.safetensors",
        settings="results/codec/settings.json",
    log:
        "logs/fit_codec.log",
    benchmark:
        "results/benchmarks/fit_codec.tsv"
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(60),
    params:
        settings=CODEC_SETTINGS,
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
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=grown(3000, per_shard_minute=30),
        runtime=grown(10, per_shard_minute=2),
        gpu=GPU,
    params:
        code=digest_of("revoice.codec", "revoice.codec.cuts"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: audio to codes"
    script:
        "../scripts/encode.py"
