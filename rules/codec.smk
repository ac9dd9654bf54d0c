def codec_settings(codec):
    """What decides about a codec. More speech, or a mended transcript, does not.

    It is fitted once, and the codes of what is there stay.
    """
    made = Path(f"results/codecs/{codec}/settings.json")
    made = read_json(made) if made.exists() else None
    config = CONFIG.codecs.get(codec)
    return {
        "codec": section(config) if config else GIVEN_CODECS[codec],
        "loudness": CONFIG.audio.loudness,
        "code": code.codec_code(config.kind, config.fallback, made) if config else {},
    }


def fitting_speech(w):
    """The speech that a codec is fitted on. Once that is done it is no reason for anything.

    `ancient` alone would not do: of jobs below a job that runs, ancient inputs or not, Snakemake
    asks for no other reason to run, so that encodings that are due would be left out.
    """
    made = Path(f"results/codecs/{w.codec}/settings.json")
    if made.exists():
        fitted = read_json(made)
        same = {key: fitted.get(key) for key in ("codec", "loudness", "code")}
        if same == codec_settings(w.codec) and all(map(os.path.exists, fitted["cuts"])):
            return ancient(before_update(fitted["cuts"]))
    config = CONFIG.codecs.get(w.codec)
    if not config or (config.kind, config.fallback) == ("encodec_24khz", None):
        return []  # nothing to fit
    corpora = of.fitting_corpora(CONFIG, w.codec)
    return expand("results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=corpora)


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
        needed_by=lambda w: of.need_encodec(CONFIG, w.codec),
        code=code_of("fetch_codec"),
    message:
        "{wildcards.codec}: fetching the codec's weights"
    script:
        "../scripts/fetch_codec.py"


rule fit_codec:
    input:
        choice="results/codecs/{codec}/choice.json",
        cuts=fitting_speech,
    output:
        codec="results/codecs/{codec}/codec.json",
        weights="results/codecs/{codec}/codec.safetensors",
        settings="results/codecs/{codec}/settings.json",
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
        settings=lambda w: codec_settings(w.codec),
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
        codec_code=lambda w: codec_settings(w.codec)["code"],
        code=code_of("encode"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: audio to codes of {wildcards.codec}"
    script:
        "../scripts/encode.py"
