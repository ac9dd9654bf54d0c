"""Sentences of one shard spoken, 24 kHz mono WAV, and a table of what became of each."""

from pathlib import Path

import pandas as pd
from revoice.config import CorpusConfig
from revoice.corpus.audio import recordings_of
from revoice.corpus.naming import read_shard
from revoice.evaluation.recognizers import load_whisper
from revoice.files import atomic, read_json
from revoice.synthetic.parts import parts_of
from revoice.synthetic.speak import speak_parts
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
corpus = CorpusConfig(**snakemake.params.corpus)
folder = Path(snakemake.output.audio)
shard = set(read_shard(folder.parent.parent / f"shards/{snakemake.wildcards.shard}.tsv"))
parts = [part for part in parts_of(corpus) if part.name in shard]
lines = pd.read_csv(snakemake.input.sentences, dtype=str, keep_default_na=False)
lines["part"] = lines["path"].str.rsplit("/", n=1).str[0]
texts = {
    part: list(zip(rows["path"], rows["text"], strict=True))
    for part, rows in lines[lines["part"].isin(shard)].groupby("part")
}
judge = read_json(snakemake.input.recognizer)["folder"]
sources = speak_parts(
    snakemake.wildcards.corpus,
    corpus,
    parts,
    texts,
    Path(snakemake.input.voices),
    folder,
    load_whisper(judge, compute_type="int8") if judge else None,
)
with atomic(snakemake.output.table) as temporary:
    pd.DataFrame(sources).to_csv(temporary, index=False)
with atomic(snakemake.output.recordings) as temporary:
    recordings_of(sources, folder).to_file(temporary)
