rule fetch_codec:
    input:
        published=RESOURCES / "pretrained.yaml",
        given=lambda w: GIVEN_CODECS.get(w.codec, []),
    output:
        choice="results/codecs/{codec}/choice.json",
    log:
        "logs/fetch_codec/{codec}.log",
    benchmark:
        "results/benchmarks/fetch_codec/{codec}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=500,
        runtime=grown(60),
    params:
        codec=lambda w: (
            section(CONFIG.codecs[w.codec], "kind", "fallback", "url")
            if w.codec in CONFIG.codecs
            else None
        ),
        # of a param that could come from `output`, Snakemake does not ask whether it changed
        needed_by=lambda w, output: experiments.need_encodec(CONFIG, w.codec),
    message:
        "{wildcards.codec}: fetching the codec's weights"
    script:
        "../scripts/fetch_codec.py"


# The weights are no output: Snakemake would remove what was put there by hand.
rule fetch_decoder:
    input:
        published=RESOURCES / "pretrained.yaml",
        choice="results/codecs/{codec}/choice.json",
    output:
        decoder="results/codecs/{codec}/decoder.json",
    log:
        "logs/fetch_decoder/{codec}.log",
    benchmark:
        "results/benchmarks/fetch_decoder/{codec}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=500,
        runtime=grown(60),
    message:
        "{wildcards.codec}: fetching Vocos, which decodes its codes"
    script:
        "../scripts/fetch_decoder.py"


rule fit_codec:
    input:
        choice="results/codecs/{codec}/choice.json",
        cuts=fitting_speech,
        limits=lambda w: limits_checked(
            experiments.fitting_corpora(CONFIG, w.codec), f"results/codecs/{w.codec}/codec.json"
        ),
    output:
        codec="results/codecs/{codec}/codec.json",
        weights="results/codecs/{codec}/codec.safetensors",
        # there while the job runs, whose params read it
        settings=update("results/codecs/{codec}/settings.json"),
    log:
        "logs/fit_codec/{codec}.log",
    benchmark:
        "results/benchmarks/fit_codec/{codec}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(60),
    params:
        settings=lambda w: experiments.codec_settings(CONFIG, w.codec),
        code=code_of("fit_codec"),
    message:
        "{wildcards.codec}: making the codec ready"
    script:
        "../scripts/fit_codec.py"


rule encode:
    input:
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
        audio="results/corpora/{corpus}/audio/{shard}",
        codec="results/codecs/{codec}/codec.json",
        weights="results/codecs/{codec}/codec.safetensors",
        limits=lambda w: limits_checked(
            [w.corpus], f"results/corpora/{w.corpus}/codes/{w.codec}/{w.shard}.jsonl.gz"
        ),
    output:
        cuts="results/corpora/{corpus}/codes/{codec}/{shard}.jsonl.gz",
        codes="results/corpora/{corpus}/codes/{codec}/{shard}.h5",
    log:
        "logs/encode/{corpus}/{codec}/{shard}.log",
    benchmark:
        "results/benchmarks/encode/{corpus}/{codec}/{shard}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=grown(3000, per_shard_minute=30),
        runtime=grown(10, per_shard_minute=2),
        gpu=GPU,
    params:
        codec_code=lambda w: experiments.codec_settings(CONFIG, w.codec)["code"],
        code=code_of("encode"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: audio to codes of {wildcards.codec}"
    script:
        "../scripts/encode.py"
