# The Whisper that hears the scores: its name here, or None.
WHISPER = experiments.whisper_of(CONFIG)


rule evaluate:
    input:
        unpack(lambda w: experiments.evaluated_from(CONFIG, w.experiment)),
        model="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        train="results/{experiment}/cuts/train.jsonl.gz",
        dev="results/{experiment}/cuts/dev.jsonl.gz",
        test="results/{experiment}/cuts/test.jsonl.gz",
        tokenizer=lambda w: experiments.tokenizer_of(CONFIG, w.experiment),
        codec=codec_file("codec.json"),
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
        mem_mb=grown(5000),
        runtime=grown(240),
        gpu=GPU,
    params:
        evaluation=section(CONFIG.evaluation),
        initial=lambda w: experiments.initial_params(CONFIG, w.experiment),
        corpora=lambda w: experiments.corpora_in_words(CONFIG, w.experiment),
        code=code_of("evaluate"),
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
        tokenizer=lambda w: experiments.tokenizer_of(CONFIG, w.experiment),
        codec=codec_file("codec.json"),
        weights=codec_file("codec.safetensors"),
        decoder=lambda w: experiments.decoder_of(CONFIG, w.experiment),
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
        codec_code=lambda w: experiments.codec_settings(CONFIG, CODECS[w.experiment])["code"],
        decoder_code=lambda w: experiments.decoder_code(CONFIG, w.experiment),
        code=code_of("synthesize"),
    message:
        "{wildcards.experiment}: speaking the test sentences"
    script:
        "../scripts/synthesize.py"


rule fetch_recognizer:
    input:
        published=RESOURCES / "pretrained.yaml",
        given=lambda w: experiments.whisper_files(CONFIG, w.recognizer),
    output:
        choice="results/recognizers/{recognizer}/choice.json",
    log:
        "logs/fetch_recognizer/{recognizer}.log",
    benchmark:
        "results/benchmarks/fetch_recognizer/{recognizer}.tsv"
    localrule: True
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=500,
        runtime=grown(60),
    params:
        model=lambda w: experiments.whisper_model(CONFIG, w.recognizer),
    message:
        "{wildcards.recognizer}: fetching the recognizer's weights"
    script:
        "../scripts/fetch_recognizer.py"


rule score:
    input:
        sentences="results/{experiment}/sentences.csv",
        audio="results/{experiment}/synthesis",
        recognizer=f"results/recognizers/{WHISPER}/choice.json" if WHISPER else [],
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
        mem_mb=grown(6000),
        runtime=grown(240),
    params:
        score=section(CONFIG.score),
        code=code_of("score"),
    message:
        "{wildcards.experiment}: word error rate, speaker similarity, DNSMOS, duration"
    script:
        "../scripts/score.py"
