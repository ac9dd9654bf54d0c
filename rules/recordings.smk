# Corpora of raw recordings: what is said where in them, and which of it is good enough.


rule segment:
    input:
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
        table="results/corpora/{corpus}/audio/{shard}.csv",
        audio="results/corpora/{corpus}/audio/{shard}",
    output:
        cuts="results/corpora/{corpus}/segments/{shard}.jsonl.gz",
        left_out="results/corpora/{corpus}/segments/{shard}.csv",
    log:
        "logs/segment/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/segment/{corpus}/{shard}.tsv"
    conda:
        "../envs/recordings.yaml"
    threads: 2
    resources:
        mem_mb=grown(2000),
        runtime=grown(10, per_shard_minute=0.5),
    params:
        beside=lambda w: index_of(w.corpus).beside.get(w.shard, ""),
        root=lambda w: corpus_root(CORPORA[w.corpus]).as_posix(),
        lengths=section(CONFIG.recordings, "min_seconds", "max_seconds", "pause"),
        in_turn=lambda w: CORPORA[w.corpus].speaker == "auto",
        code=code_of("segment"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: recordings to segments of speech"
    script:
        "../scripts/segment.py"


rule transcribe:
    input:
        cuts="results/corpora/{corpus}/segments/{shard}.jsonl.gz",
        table="results/corpora/{corpus}/audio/{shard}.csv",
        audio="results/corpora/{corpus}/audio/{shard}",
        recognizer=f"results/recognizers/{experiments.hearing_of(CONFIG)}/choice.json",
    output:
        heard="results/corpora/{corpus}/heard/{shard}.jsonl.gz",
    log:
        "logs/transcribe/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/transcribe/{corpus}/{shard}.tsv"
    conda:
        "../envs/recordings.yaml"
    threads: 2
    resources:
        mem_mb=grown(3000),
        runtime=grown(20, per_shard_minute=2),
    params:
        beside=lambda w: index_of(w.corpus).beside.get(w.shard, ""),
        root=lambda w: corpus_root(CORPORA[w.corpus]).as_posix(),
        corpus=lambda w: section(CORPORA[w.corpus], "kind", "path", "languages"),
        code=code_of("transcribe"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: what is said in the segments"
    script:
        "../scripts/transcribe.py"


rule assess:
    input:
        cuts="results/corpora/{corpus}/segments/{shard}.jsonl.gz",
        audio="results/corpora/{corpus}/audio/{shard}",
    output:
        quality="results/corpora/{corpus}/quality/{shard}.csv",
        embeddings="results/corpora/{corpus}/quality/{shard}.npy",
    log:
        "logs/assess/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/assess/{corpus}/{shard}.tsv"
    conda:
        "../envs/recordings.yaml"
    threads: 2
    resources:
        mem_mb=grown(3000),
        runtime=grown(20, per_shard_minute=2),
    params:
        code=code_of("assess"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: how good the segments sound"
    script:
        "../scripts/assess.py"


rule diarize:
    input:
        cuts=lambda w: of_shards("results/corpora/{corpus}/segments/{shard}.jsonl.gz", [w.corpus]),
        tables=lambda w: of_shards("results/corpora/{corpus}/audio/{shard}.csv", [w.corpus]),
        embeddings=lambda w: of_shards("results/corpora/{corpus}/quality/{shard}.npy", [w.corpus]),
    output:
        speakers="results/corpora/{corpus}/speakers.csv",
        segments="results/corpora/{corpus}/speaker_of_segment.csv",
    log:
        "logs/diarize/{corpus}.log",
    benchmark:
        "results/benchmarks/diarize/{corpus}.tsv"
    conda:
        "../envs/recordings.yaml"
    resources:
        mem_mb=grown(3000),
        runtime=grown(60),
    params:
        same_speaker=CONFIG.recordings.same_speaker,
        seed=CONFIG.recordings.seed,
        speakers=lambda w: CORPORA[w.corpus].speakers,
        code=code_of("diarize"),
    message:
        "{wildcards.corpus}: who speaks in which segment"
    script:
        "../scripts/diarize.py"


rule filter:
    input:
        recordings="results/corpora/{corpus}/audio/{shard}.jsonl.gz",
        table="results/corpora/{corpus}/audio/{shard}.csv",
        cuts="results/corpora/{corpus}/segments/{shard}.jsonl.gz",
        left_out="results/corpora/{corpus}/segments/{shard}.csv",
        heard="results/corpora/{corpus}/heard/{shard}.jsonl.gz",
        quality="results/corpora/{corpus}/quality/{shard}.csv",
        speakers=lambda w: (
            "results/corpora/{corpus}/speaker_of_segment.csv"
            if CORPORA[w.corpus].speaker == "auto"
            else []
        ),
    output:
        cuts="results/corpora/{corpus}/kept/{shard}.jsonl.gz",
        segments="results/corpora/{corpus}/kept/{shard}.csv",
    log:
        "logs/filter/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/filter/{corpus}/{shard}.tsv"
    conda:
        "../envs/recordings.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        labels=lambda w: index_of(w.corpus).labels.get(w.shard, ""),
        corpus=lambda w: section(CORPORA[w.corpus], "kind", "path", "languages", "speaker"),
        quality=section(CONFIG.recordings.quality),
        code=code_of("filter"),
    message:
        "{wildcards.corpus}/{wildcards.shard}: which segments are kept"
    script:
        "../scripts/filter.py"


# What `collect` would fail for, which loses what it had made: told before.
rule check_kept:
    input:
        cuts=lambda w: of_shards("results/corpora/{corpus}/kept/{shard}.jsonl.gz", [w.corpus]),
        segments=lambda w: of_shards("results/corpora/{corpus}/kept/{shard}.csv", [w.corpus]),
        index=lambda w: index_for(w.corpus),
    output:
        checked=touch("results/corpora/{corpus}/kept.done"),
    log:
        "logs/check_kept/{corpus}.log",
    benchmark:
        "results/benchmarks/check_kept/{corpus}.tsv"
    localrule: True
    conda:
        "../envs/recordings.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        corpus=lambda w: section(CORPORA[w.corpus], "kind", "path"),
        code=code_of("check_kept"),
    message:
        "{wildcards.corpus}: whether any segment is left"
    script:
        "../scripts/check_kept.py"


rule collect:
    input:
        checked="results/corpora/{corpus}/kept.done",
        cuts=lambda w: of_shards("results/corpora/{corpus}/kept/{shard}.jsonl.gz", [w.corpus]),
        segments=lambda w: of_shards("results/corpora/{corpus}/kept/{shard}.csv", [w.corpus]),
        tables=lambda w: of_shards("results/corpora/{corpus}/audio/{shard}.csv", [w.corpus]),
        index=lambda w: index_for(w.corpus),
    output:
        recordings="results/corpora/{corpus}/recordings.jsonl.gz",
        supervisions="results/corpora/{corpus}/supervisions.jsonl.gz",
        train="results/corpora/{corpus}/cuts_train.jsonl.gz",
        dev="results/corpora/{corpus}/cuts_dev.jsonl.gz",
        test="results/corpora/{corpus}/cuts_test.jsonl.gz",
        files="results/corpora/{corpus}/files.csv",
        rejected="results/corpora/{corpus}/rejected.csv",
        segments="results/corpora/{corpus}/segments.csv",
        hours="results/corpora/{corpus}/hours.csv",
    log:
        "logs/collect/{corpus}.log",
    benchmark:
        "results/benchmarks/collect/{corpus}.tsv"
    wildcard_constraints:
        corpus=experiments.one_of(RECORDED),
    conda:
        "../envs/recordings.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(60),
    params:
        corpus=lambda w: section(CORPORA[w.corpus], "kind", "path", "splits"),
        split=section(CONFIG.split),
        code=code_of("collect"),
    message:
        "{wildcards.corpus}: Lhotse manifests of its segments, split into train, dev and test"
    script:
        "../scripts/collect.py"


rule proofread:
    input:
        segments="results/corpora/{corpus}/segments.csv",
    output:
        page="results/corpora/{corpus}/labels.html",
    log:
        "logs/proofread/{corpus}.log",
    benchmark:
        "results/benchmarks/proofread/{corpus}.tsv"
    conda:
        "../envs/recordings.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(10),
    params:
        code=code_of("proofread"),
    message:
        "{wildcards.corpus}: a page to proofread its segments"
    script:
        "../scripts/proofread.py"
