"""Lists of a corpus's files by shard, for the jobs that read them."""

from pathlib import Path

from revoice.config import CorpusConfig
from revoice.corpus.index import index_corpus, write_index
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
target, params = Path(snakemake.output[0]), snakemake.params
corpus = CorpusConfig(**params.corpus)
index = index_corpus(corpus, target.parent, 60 * params.minutes, params.kept)
if index.digest != params.digest:
    name = snakemake.wildcards.corpus
    raise ValueError(f"corpora.{name}: its files changed while the run started: run it again")
write_index(index, target)
