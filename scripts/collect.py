"""Manifests of a corpus's segments, split; tables of its segments, its files and its hours."""

from pathlib import Path

from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.naming import corpus_root
from revoice.corpus.shards import remove_gone
from revoice.recordings.labels import LABELS, read_labels
from revoice.recordings.manifests import Kept, write_kept
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given, corpus = snakemake.input, CorpusConfig(**snakemake.params.corpus)
labels = read_labels(corpus_root(corpus) / LABELS)
files = zip(given.cuts, given.segments, given.tables, strict=True)
shards = {Path(one[2]).stem: Kept(*map(Path, one)) for one in files}
folder = Path(snakemake.output.train).parent
split = SplitConfig(**snakemake.params.split)
write_kept(corpus, split, shards, labels, folder)
remove_gone(folder, shards)
