"""Lhotse manifests of a corpus, split; tables of its files and of those left out."""

from pathlib import Path

from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.manifests import write_manifests
from revoice.corpus.shards import remove_gone
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
recordings, tables = map(Path, snakemake.input.recordings), map(Path, snakemake.input.tables)
shards = {table.stem: (file, table) for file, table in zip(recordings, tables, strict=True)}
write_manifests(
    snakemake.wildcards.corpus,
    CorpusConfig(**snakemake.params.corpus),
    SplitConfig(**snakemake.params.split),
    shards,
    Path(snakemake.output.train).parent,
    snakemake.params.strict,
)
remove_gone(Path(snakemake.output.train).parent, shards)
