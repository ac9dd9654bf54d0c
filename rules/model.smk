# The weights are no output: Snakemake would remove a file put there by hand, or a half transfer.
rule fetch_pretrained:
    input:
        resource=RESOURCES / "pretrained.yaml",
    output:
        record="data/pretrained/{name}.json",
    log:
        "logs/fetch_pretrained/{name}.log",
    benchmark:
        "results/benchmarks/fetch_pretrained/{name}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        name=lambda w: w.name,
        path="data/pretrained/{name}.pt",
    message:
        "{wildcards.name}: fetching the published checkpoint"
    script:
        "../scripts/fetch_pretrained.py"


rule import_checkpoint:
    input:
        checkpoint=lambda w: experiments.checkpoint_of(CONFIG, w.name),
        symbols=lambda w: experiments.symbols_of(CONFIG, w.name),
    output:
        weights="results/pretrained/{name}/model.safetensors",
        meta="results/pretrained/{name}/model.json",
    log:
        "logs/import_checkpoint/{name}.log",
    benchmark:
        "results/benchmarks/import_checkpoint/{name}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(6000),
        runtime=grown(30),
    params:
        path=lambda w: experiments.checkpoint_file(CONFIG, w.name),
        code=code_of("import_checkpoint"),
    message:
        "{wildcards.name}: importing an original checkpoint"
    script:
        "../scripts/import_checkpoint.py"


rule export_checkpoint:
    input:
        weights="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
    output:
        "results/{experiment}/model.pt",
    log:
        "logs/export_checkpoint/{experiment}.log",
    benchmark:
        "results/benchmarks/export_checkpoint/{experiment}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(6000),
        runtime=grown(30),
    params:
        code=code_of("export_checkpoint"),
    message:
        "{wildcards.experiment}: exporting to the original's own form"
    script:
        "../scripts/export_checkpoint.py"


rule assemble:
    input:
        ar="results/{experiment}/ar/model.safetensors",
        nar="results/{experiment}/nar/model.safetensors",
        trained=["results/{experiment}/ar/training.json", "results/{experiment}/nar/training.json"],
        tokenizer=lambda w: experiments.tokenizer_of(CONFIG, w.experiment),
        codec=codec_file("codec.json"),
        codec_weights=codec_file("codec.safetensors"),
    output:
        weights="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        tokenizer="results/{experiment}/tokenizer.json",
        codec="results/{experiment}/codec.json",
        codec_weights="results/{experiment}/codec.safetensors",
    log:
        "logs/assemble/{experiment}.log",
    benchmark:
        "results/benchmarks/assemble/{experiment}.tsv"
    conda:
        "../envs/training.yaml"
    resources:
        mem_mb=grown(4000),
        runtime=grown(30),
    params:
        code=code_of("assemble"),
    message:
        "{wildcards.experiment}: joining AR and NAR into one model"
    script:
        "../scripts/assemble.py"


rule pack:
    input:
        weights="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        tokenizer="results/{experiment}/tokenizer.json",
        codec="results/{experiment}/codec.json",
        codec_weights="results/{experiment}/codec.safetensors",
        voices="results/{experiment}/voices",
    output:
        folder=directory("results/{experiment}/pack"),
    log:
        "logs/pack/{experiment}.log",
    benchmark:
        "results/benchmarks/pack/{experiment}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=grown(4000),
        runtime=grown(30),
    params:
        code=code_of("pack"),
    message:
        "{wildcards.experiment}: packing the voice, in half precision, with its prompts"
    script:
        "../scripts/pack.py"
