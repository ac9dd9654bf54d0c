ruleorder: speak > resample


SYNTHETIC = [name for name, corpus in CORPORA.items() if corpus.kind == "synthetic"]


rule fetch_voices:
    output:
        voices=directory("data/voices/kokoro"),
    log:
        "logs/fetch_voices.log",
    benchmark:
        "results/benchmarks/fetch_voices.tsv"
    localrule: True
    conda:
        "../envs/synthetic.yaml"
    resources:
        mem_mb=1000,
        runtime=grown(60),
    message:
        "fetching the voices of synthetic corpora"
    script:
        "../scripts/fetch_voices.py"


rule write_sentences:
    input:
        cuts=lambda w: expand(
            "results/corpora/{corpus}/cuts_{split}.jsonl.gz",
            corpus=CORPORA[w.corpus].held_out,
            split=["dev", "test"],
        ),
        files=lambda w: CORPORA[w.corpus].held_out_files,
        resources=expand(
            RESOURCES / "synthetic" / "{file}",
            file=["packages.yaml", "templates.yaml", "unwanted.txt"],
        ),
    output:
        sentences="results/corpora/{corpus}/sentences.csv",
        record="results/corpora/{corpus}/sources.json",
    log:
        "logs/write_sentences/{corpus}.log",
    benchmark:
        "results/benchmarks/write_sentences/{corpus}.tsv"
    localrule: True
    conda:
        "../envs/synthetic.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        corpus=lambda w: section(CORPORA[w.corpus]),
        code=code_of("write_sentences"),
    message:
        "{wildcards.corpus}: choosing what each voice reads"
    script:
        "../scripts/write_sentences.py"


rule speak:
    input:
        index=lambda w: index_for(w.corpus, w.shard),
        sentences="results/corpora/{corpus}/sentences.csv",
        voices="data/voices/kokoro",
        recognizer="results/recognizers/base/choice.json",
    output:
        audio=directory("results/corpora/{corpus}/audio/{shard}"),
        table="results/corpora/{corpus}/audio/{shard}.csv",
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
    log:
        "logs/speak/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/speak/{corpus}/{shard}.tsv"
    wildcard_constraints:
        corpus=experiments.one_of(SYNTHETIC),
    conda:
        "../envs/synthetic.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(30, per_shard_minute=3),
    params:
        corpus=lambda w: section(CORPORA[w.corpus]),
        code=code_of("speak"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: speaking sentences"
    script:
        "../scripts/speak.py"


rule describe_voices:
    input:
        tables=lambda w: of_shards("results/corpora/{corpus}/audio/{shard}.csv", [w.corpus]),
        sources="results/corpora/{corpus}/sources.json",
    output:
        record="results/corpora/{corpus}/record.json",
    log:
        "logs/describe_voices/{corpus}.log",
    benchmark:
        "results/benchmarks/describe_voices/{corpus}.tsv"
    localrule: True
    conda:
        "../envs/synthetic.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(30),
    params:
        voices=lambda w: list(CORPORA[w.corpus].voices),
        code=code_of("describe_voices"),
    message:
        "{wildcards.corpus}: who speaks it, and on whose terms"
    script:
        "../scripts/describe_voices.py"
