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
    log:
        "logs/evaluate/{experiment}.log",
    benchmark:
        "results/benchmarks/evaluate/{experiment}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(240),
        gpu=GPU,
    params:
        evaluation=section(CONFIG.evaluation),
        corpora=lambda w: CONFIG.experiments[w.experiment].corpora,
        code=digest_of(
            "revoice.evaluation.evaluate", "revoice.evaluation.trained", "revoice.model.losses"
        ),
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
    conda:
        "../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(240),
        gpu=GPU,
    params:
        synthesis=section(CONFIG.synthesis),
        code=digest_of(
            "revoice.model.generate",
            "revoice.evaluation.sentences",
            "revoice.evaluation.trained",
            "revoice.model.valle",
            "revoice.codec",
        ),
    message:
        "{wildcards.experiment}: speaking the test sentences"
    script:
        "../scripts/synthesize.py"


rule score:
    input:
        sentences="results/{experiment}/sentences.csv",
        audio="results/{experiment}/synthesis",
    output:
        csv=report(
            "results/{experiment}/scores.csv",
            caption="../report/scores.rst",
            category="Scores",
            labels={"experiment": "{experiment}"},
        ),
        clips="results/{experiment}/scores_per_sentence.csv",
    log:
        "logs/score/{experiment}.log",
    benchmark:
        "results/benchmarks/score/{experiment}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(240),
    params:
        score=section(CONFIG.score),
        code=digest_of(
            "revoice.evaluation.scoring",
            "revoice.evaluation.measures",
            "revoice.evaluation.normalize",
        ),
    message:
        "{wildcards.experiment}: word error rate, speaker similarity, DNSMOS, duration"
    script:
        "../scripts/score.py"
