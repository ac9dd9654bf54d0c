rule tokenize_text:
    input:
        train=lambda w: expand(
            "results/corpora/{corpus}/cuts_train.jsonl.gz", corpus=of_text(w).corpora
        ),
        dev=lambda w: expand(
            "results/corpora/{corpus}/cuts_dev.jsonl.gz", corpus=of_text(w).corpora
        ),
        test=lambda w: expand(
            "results/corpora/{corpus}/cuts_test.jsonl.gz", corpus=of_text(w).corpora
        ),
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
