"""Whether any segment of a corpus is kept, and its labels.tsv can be read."""

from pathlib import Path

from revoice.config import CorpusConfig
from revoice.corpus.naming import corpus_root
from revoice.recordings.labels import LABELS, read_labels
from revoice.recordings.manifests import check_kept
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
read_labels(corpus_root(CorpusConfig(**snakemake.params.corpus)) / LABELS)
cuts, segments = (list(map(Path, of)) for of in (snakemake.input.cuts, snakemake.input.segments))
check_kept(snakemake.wildcards.corpus, cuts, segments)
