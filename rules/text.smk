rule tokenize_text:
    input:
        train=lambda w: experiments.manifests_of(CONFIG, TEXTS[w.text], "train"),
        dev=lambda w: experiments.manifests_of(CONFIG, TEXTS[w.text], "dev"),
        test=lambda w: experiments.manifests_of(CONFIG, TEXTS[w.text], "test"),
        base=lambda w: experiments.symbol_table(CONFIG, TEXTS[w.text]) or [],
    output:
        tokenizer="results/text/{text}/tokenizer.json",
        train="results/text/{text}/cuts_train.jsonl.gz",
        dev="results/text/{text}/cuts_dev.jsonl.gz",
        test="results/text/{text}/cuts_test.jsonl.gz",
        rejected="results/text/{text}/rejected.csv",
    log:
        "logs/tokenize_text/{text}.log",
    benchmark:
        "results/benchmarks/tokenize_text/{text}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        # utterances are in memory with their tokens: about 0.4 MB for each minute
        mem_mb=lambda w, attempt: attempt * int(3000 + 0.4 * indexed_minutes(of_text(w).corpora)),
        runtime=grown(120),
    params:
        tokenizer=lambda w: of_text(w).tokenizer,
        new_languages=lambda w: sorted(of_text(w).new_languages),
        text=section(CONFIG.text),
        code=code_of("tokenize_text"),
    message:
        "{wildcards.text}: text to phonemes and ids"
    script:
        "../scripts/tokenize_text.py"
