rule evaluate:
    input:
        model="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        train="results/{experiment}/cuts/train.jsonl.gz",
        dev="results/{experiment}/cuts/dev.jsonl.gz",
        test="results/{experiment}/cuts/test.jsonl.gz",
        tokenizer=lambda w: tokenizer_of(w.experiment),
        codec="results/codec/codec.json",
    output:
        evaluation="results/{experiment}/evaluation.json",
        markdown="results/{experiment}/table.md",
        csv="results/{experiment}/table.csv",
    log:
        "logs/evaluate/{experiment}.log",
    benchmark:
        "results/benchmarks/evaluate/{experiment}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=gpus("evaluate"),
    params:
        evaluation=section(CONFIG.evaluation),
        code=digest_of("revoice.evaluation", "revoice.tables", "revoice.metrics"),
    message:
        "{wildcards.experiment}: loss and Top10Accuracy on train, dev and test"
    script:
        "../scripts/evaluate.py"


rule synthesize:
    input:
        model="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        train="results/{experiment}/cuts/train.jsonl.gz",
        test="results/{experiment}/cuts/test.jsonl.gz",
        tokenizer=lambda w: tokenizer_of(w.experiment),
        codec="results/codec/codec.json",
        weights="results/codec/codec.safetensors",
    output:
        audio=directory("results/{experiment}/synthesis"),
        sentences="results/{experiment}/sentences.csv",
    log:
        "logs/synthesize/{experiment}.log",
    benchmark:
        "results/benchmarks/synthesize/{experiment}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=gpus("synthesize"),
    params:
        synthesis=section(CONFIG.synthesis),
        code=digest_of("revoice.synthesis", "revoice.model", "revoice.codec"),
    message:
        "{wildcards.experiment}: speaking the test sentences"
    script:
        "../scripts/synthesize.py"


rule score:
    input:
        sentences="results/{experiment}/sentences.csv",
        audio="results/{experiment}/synthesis",
        model="results/{experiment}/model.json",
        codec="results/codec/codec.json",
    output:
        csv="results/{experiment}/scores.csv",
        clips="results/{experiment}/scores_per_sentence.csv",
        markdown="results/{experiment}/scores.md",
    log:
        "logs/score/{experiment}.log",
    benchmark:
        "results/benchmarks/score/{experiment}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        score=section(CONFIG.score),
        code=digest_of("revoice.scoring", "revoice.normalise"),
    message:
        "{wildcards.experiment}: word error rate, speaker similarity, DNSMOS, duration"
    script:
        "../scripts/score.py"
