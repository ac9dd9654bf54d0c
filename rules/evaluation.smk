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
        csv=report(
            "results/{experiment}/table.csv",
            caption="../report/evaluation.rst",
            category="Loss and Top10Accuracy",
            labels={"experiment": "{experiment}", "what": "table"},
        ),
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
    conda:
        "../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(240),
        gpu=GPU,
    params:
        synthesis=section(CONFIG.synthesis),
        code=digest_of("revoice.synthesis", "revoice.sentences", "revoice.model", "revoice.codec"),
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
        csv=report(
            "results/{experiment}/scores.csv",
            caption="../report/scores.rst",
            category="Scores",
            labels={"experiment": "{experiment}"},
        ),
        clips="results/{experiment}/scores_per_sentence.csv",
        markdown="results/{experiment}/scores.md",
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
        code=digest_of("revoice.scoring", "revoice.normalize", "revoice.tables"),
    message:
        "{wildcards.experiment}: word error rate, speaker similarity, DNSMOS, duration"
    script:
        "../scripts/score.py"


rule summarize:
    input:
        evaluations=expand("results/{experiment}/evaluation.json", experiment=CONFIG.experiments),
        scores=expand("results/{experiment}/scores.csv", experiment=CONFIG.experiments),
        clips=expand("results/{experiment}/scores_per_sentence.csv", experiment=CONFIG.experiments),
        metrics=trained_files("metrics.csv"),
        training=trained_files("training.json"),
        codec="results/codec/codec.json",
    output:
        page="results/index.html",
        media=directory("results/media"),
        markdown="results/summary.md",
        csv=report(
            "results/summary.csv",
            caption="../report/summary.rst",
            category="All experiments",
            labels={"what": "table"},
        ),
        curves=report(
            expand("results/{experiment}/curves.svg", experiment=CONFIG.experiments),
            caption="../report/curves.rst",
            category="Loss and Top10Accuracy",
        ),
    log:
        "logs/summarize.log",
    benchmark:
        "results/benchmarks/summarize.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(30),
    params:
        experiments={name: section(e) for name, e in CONFIG.experiments.items()},
        seeds={
            "split": CONFIG.split.seed,
            "codec": CONFIG.codec.seed,
            "synthesis": CONFIG.synthesis.seed,
        },
        code=digest_of(
            "revoice.page",
            "revoice.curves",
            "revoice.tables",
            "revoice.scoring",
            "revoice.templates",
        ),
    message:
        "Tables of all experiments, curves, and the page to listen to"
    script:
        "../scripts/summarize.py"
