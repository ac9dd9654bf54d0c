rule fetch_corpus:
    input:
        sums=RESOURCES / "asterisk" / "{language}.sha256",
    output:
        "data/asterisk/{language}.json",
    log:
        "logs/fetch_corpus/{language}.log",
    benchmark:
        "results/benchmarks/fetch_corpus/{language}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=500,
        runtime=grown(30),
    params:
        code=code_of("fetch_corpus"),
    message:
        "{wildcards.language}: fetching the default corpus"
    script:
        "../scripts/fetch_corpus.py"


# A checkpoint: which files the corpus has, and so its shards, is known once it is there.
checkpoint fetch_recipe:
    output:
        "data/recipes/{corpus}.json",
    log:
        "logs/fetch_recipe/{corpus}.log",
    benchmark:
        "results/benchmarks/fetch_recipe/{corpus}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=720,
    params:
        corpus=lambda w: section(CORPORA[w.corpus]),
    message:
        "{wildcards.corpus}: fetching by Lhotse's recipe"
    script:
        "../scripts/fetch_recipe.py"


rule index:
    input:
        # nothing, once the corpus has been fetched
        lambda w: index_of(w.corpus) and [],
    output:
        # `update` keeps what is there until it is replaced: without it all would be resampled.
        index=update("results/corpora/{corpus}/index.json"),
        # of `index` alone Snakemake would think, after a job that failed, that it is current
        done=touch("results/corpora/{corpus}/index.done"),
    log:
        "logs/index/{corpus}.log",
    benchmark:
        "results/benchmarks/index/{corpus}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda w, attempt: attempt * int(1000 + 0.01 * indexed_minutes([w.corpus])),
        runtime=grown(60),
    params:
        corpus=lambda w: section(CORPORA[w.corpus]),
        minutes=CONFIG.audio.shard_minutes,
        digest=lambda w: index_of(w.corpus).digest,
        # of a param that could come from `output`, Snakemake does not ask whether it changed
        kept=lambda w, output: index_of(w.corpus).kept,
    message:
        "{wildcards.corpus}: lists of its files, by shard"
    script:
        "../scripts/index.py"


rule resample:
    input:
        index=lambda w: index_for(w.corpus, w.shard),
        fetched=lambda w: records(CORPORA[w.corpus]),
    output:
        audio=directory("results/corpora/{corpus}/audio/{shard}"),
        table="results/corpora/{corpus}/audio/{shard}.csv",
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
    log:
        "logs/resample/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/resample/{corpus}/{shard}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=grown(1000),
        runtime=grown(10, per_shard_minute=2),
    params:
        files=lambda w: index_of(w.corpus).shards[w.shard],
        root=lambda w: corpus_root(CORPORA[w.corpus]).as_posix(),
        audio=section(CONFIG.audio, "loudness", "min_seconds", "strict"),
        code=code_of("resample"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: any audio to 24 kHz mono"
    script:
        "../scripts/resample.py"


rule manifests:
    input:
        tables=lambda w: of_shards("results/corpora/{corpus}/audio/{shard}.csv", [w.corpus]),
        recordings=lambda w: of_shards(
            "results/corpora/{corpus}/audio/{shard}.jsonl.gz", [w.corpus]
        ),
        index=lambda w: index_for(w.corpus),
        sentences=lambda w: [CORPORA[w.corpus].path] if w.corpus in SYNTHETIC else [],
    output:
        recordings="results/corpora/{corpus}/recordings.jsonl.gz",
        supervisions="results/corpora/{corpus}/supervisions.jsonl.gz",
        train="results/corpora/{corpus}/cuts_train.jsonl.gz",
        dev="results/corpora/{corpus}/cuts_dev.jsonl.gz",
        test="results/corpora/{corpus}/cuts_test.jsonl.gz",
        files="results/corpora/{corpus}/files.csv",
        rejected="results/corpora/{corpus}/rejected.csv",
    log:
        "logs/manifests/{corpus}.log",
    benchmark:
        "results/benchmarks/manifests/{corpus}.tsv"
    wildcard_constraints:
        corpus=experiments.one_of(name for name in CORPORA if name not in RECORDED),
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        transcripts=lambda w: index_of(w.corpus).transcripts,
        corpus=lambda w: section(CORPORA[w.corpus]),
        split=section(CONFIG.split),
        strict=CONFIG.audio.strict,
        code=code_of("manifests"),
    message:
        "{wildcards.corpus}: Lhotse manifests, split into train, dev and test"
    script:
        "../scripts/manifests.py"
