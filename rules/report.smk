rule tabulate:
    input:
        evaluation="results/{experiment}/evaluation.json",
        sentences="results/{experiment}/sentences.csv",
        scores="results/{experiment}/scores.csv",
    output:
        markdown="results/{experiment}/table.md",
        csv=report(
            "results/{experiment}/table.csv",
            caption="../report/evaluation.rst",
            category="Loss and Top10Accuracy",
            labels={"experiment": "{experiment}", "what": "table"},
        ),
        scores="results/{experiment}/scores.md",
    log:
        "logs/tabulate/{experiment}.log",
    benchmark:
        "results/benchmarks/tabulate/{experiment}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=grown(2000),
        runtime=grown(30),
    params:
        code=code_of("tabulate"),
    message:
        "{wildcards.experiment}: tables to read"
    script:
        "../scripts/tabulate.py"


rule summarize:
    input:
        evaluations=expand("results/{experiment}/evaluation.json", experiment=CONFIG.experiments),
        scores=expand("results/{experiment}/scores.csv", experiment=CONFIG.experiments),
        clips=expand("results/{experiment}/scores_per_sentence.csv", experiment=CONFIG.experiments),
        metrics=experiments.trained_files(CONFIG, "metrics.csv"),
        training=experiments.trained_files(CONFIG, "training.json"),
        codecs=[f"results/codecs/{CODECS[name]}/codec.json" for name in CONFIG.experiments],
        hours=expand("results/corpora/{corpus}/hours.csv", corpus=RECORDED),
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
        experiments={
            name: section(experiment) | {"codec": CODECS[name]}
            for name, experiment in CONFIG.experiments.items()
        },
        seeds={
            name: {
                "split": CONFIG.split.seed,
                **experiments.codec_seed(CONFIG, name),
                "synthesis": experiments.synthesis_seeds(CONFIG),
            }
            for name in CONFIG.experiments
        },
        code=code_of("summarize"),
    message:
        "Tables of all experiments, curves, and the page to listen to"
    script:
        "../scripts/summarize.py"
