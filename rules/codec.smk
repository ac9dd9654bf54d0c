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
        runtime=60,
    params:
        codec=section(CONFIG.codec, "name", "fallback", "url"),
        code=digest_of("revoice.codec.choice"),
    message:
        "Fetching the codec's weights"
    script:
        "../scripts/fetch_codec.py"


# What decides about the codec. More speech, or a mended transcript, does not: it is fitted once, and
# the codes of what is there stay.
CODEC_SETTINGS = {
    "codec": section(CONFIG.codec),
    "loudness": CONFIG.audio.loudness,
    "code": digest_of("revoice.codec"),
    "script": sha256(Path(workflow.basedir) / "scripts" / "fit_codec.py"),
}


def fitting_speech():
    """The speech that the codec is fitted on. Once that is done it is no reason for anything.

    `ancient` alone would not do: of jobs below a job that runs, ancient inputs or not, Snakemake
    asks for no other reason to run, so that encodings that are due would be left out.
    """
    cuts = expand("results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=FIT_CORPORA)
    made = Path("results/codec/settings.json")
    if made.exists() and read_json(made) == CODEC_SETTINGS and all(map(os.path.exists, cuts)):
        return ancient(before_update(cuts))
    return cuts


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
        mem_mb=4000,
        runtime=60,
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
        code=digest_of("revoice.codec", "revoice.encoding"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: audio to codes"
    script:
        "../scripts/encode.py"
