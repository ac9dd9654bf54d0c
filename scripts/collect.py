"""Manifests of a corpus's segments, split; tables of its segments, its files and its hours."""

import logging
from pathlib import Path

from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.naming import corpus_root
from revoice.corpus.shards import remove_gone
from revoice.recordings.labels import LABELS, read_labels
from revoice.recordings.manifests import Kept, read_segments, write_kept
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given, corpus = snakemake.input, CorpusConfig(**snakemake.params.corpus)
files = zip(given.cuts, given.segments, given.tables, strict=True)
shards = {Path(one[2]).stem: Kept(*map(Path, one)) for one in files}
folder = Path(snakemake.output.train).parent
split = SplitConfig(**snakemake.params.split)
write_kept(snakemake.wildcards.corpus, corpus, split, shards, folder)
labels = corpus_root(corpus) / LABELS
known = set(read_segments(folder / "segments.csv")["recording"])
for path in {label.recording for label in read_labels(labels)} - known:
    logging.warning("%s: there is no recording %s", labels, path)
remove_gone(folder, shards)
