try:
    CHAPTERS = {book: spoken.chapters(CONFIG, book) for book in CONFIG.speak}
except ValueError as error:
    raise WorkflowError(str(error))

# How test sentences are spoken, and so any text; which sentences these are is nothing to it.
HOW = sorted({*type(CONFIG.synthesis).model_fields} - {"sentences", "extra", "repeats"})
TOLD = "voice language accent speed seed prompts verify errors retries".split()


wildcard_constraints:
    book=experiments.one_of(CONFIG.speak),
    chapter=experiments.one_of({name for book in CHAPTERS.values() for name in book}),


rule voices:
    input:
        model="results/{experiment}/model.safetensors",
        meta="results/{experiment}/model.json",
        train="results/{experiment}/cuts/train.jsonl.gz",
        tokenizer=lambda w: experiments.tokenizer_of(CONFIG, w.experiment),
        codec=codec_file("codec.json"),
    output:
        folder=directory("results/{experiment}/voices"),
    log:
        "logs/voices/{experiment}.log",
    benchmark:
        "results/benchmarks/voices/{experiment}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=grown(4000),
        runtime=grown(60),
    params:
        synthesis=section(CONFIG.synthesis, *HOW),
        dnsmos=CONFIG.score.dnsmos,
        code=code_of("voices"),
    message:
        "{wildcards.experiment}: choosing prompts that sound well"
    script:
        "../scripts/voices.py"


rule tell:
    input:
        lambda w: CHAPTERS[w.book][w.chapter],
        voice=lambda w: [v for v in [CONFIG.speak[w.book].voice] if v and v.endswith(".npz")],
        model="results/{experiment}/model.safetensors",
        files=expand(
            "results/{{experiment}}/{file}",
            file=["model.json", "tokenizer.json", "codec.json", "codec.safetensors", "voices"],
        ),
        decoder=lambda w: experiments.decoder_of(CONFIG, w.experiment),
        recognizer=lambda w: (
            f"results/recognizers/{WHISPER}/choice.json"
            if CONFIG.speak[w.book].verify and WHISPER
            else []
        ),
    output:
        audio="results/{experiment}/spoken/{book}/{chapter}.flac",
        report="results/{experiment}/spoken/{book}/{chapter}.json",
    log:
        "logs/tell/{experiment}/{book}/{chapter}.log",
    benchmark:
        "results/benchmarks/tell/{experiment}/{book}/{chapter}.tsv"
    conda:
        "../envs/evaluation.yaml"
    threads: 2
    resources:
        mem_mb=grown(4000),
        runtime=grown(600),
        gpu=GPU,
    params:
        speak=lambda w: section(CONFIG.speak[w.book], *TOLD),
        synthesis=section(CONFIG.synthesis, *sorted({*HOW} - {"batch"})),
        kept="work/spoken/{experiment}/{book}/{chapter}",
        codec_code=lambda w: experiments.codec_settings(CONFIG, CODECS[w.experiment])["code"],
        decoder_code=lambda w: experiments.decoder_code(CONFIG, w.experiment),
        code=code_of("tell"),
    message:
        "{wildcards.experiment}: speaking {wildcards.book}, {wildcards.chapter}"
    script:
        "../scripts/tell.py"


rule bind:
    input:
        chapters=lambda w: [
            f"results/{w.experiment}/spoken/{w.book}/{chapter}.flac"
            for chapter in spoken.named(CONFIG, w.book, CHAPTERS)
        ],
    output:
        audio="results/{experiment}/spoken/{book}.flac",
    log:
        "logs/bind/{experiment}/{book}.log",
    benchmark:
        "results/benchmarks/bind/{experiment}/{book}.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=grown(1000),
        runtime=grown(30),
    params:
        pause=lambda w: CONFIG.speak[w.book].pause,
        codec_code=lambda w: experiments.codec_settings(CONFIG, CODECS[w.experiment])["code"],
        code=code_of("bind"),
    message:
        "{wildcards.experiment}: {wildcards.book}, its chapters in a row"
    script:
        "../scripts/bind.py"
