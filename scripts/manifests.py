"""Lhotse manifests of a corpus, split; tables of its files and of those left out."""

from pathlib import Path

import pandas as pd
from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.manifests import write_manifests
from revoice.corpus.shards import remove_gone
from revoice.files import TEXTS, atomic
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
tables = {
    Path(path).stem: pd.read_csv(path, dtype={"path": str, "id": str, "reason": str}, **TEXTS)
    for path in snakemake.input.tables
}
usable = {shard: table[table["reason"].isna()] for shard, table in tables.items()}
shards = {Path(file).name.removesuffix(".jsonl.gz"): file for file in snakemake.input.recordings}
rejected = write_manifests(
    snakemake.wildcards.corpus,
    CorpusConfig(**snakemake.params.corpus),
    SplitConfig(**snakemake.params.split),
    {
        shard: (Path(file), dict(zip(usable[shard]["id"], usable[shard]["path"], strict=True)))
        for shard, file in shards.items()
    },
    Path(snakemake.output.train).parent,
    snakemake.params.strict,
)
files = pd.concat(tables.values(), ignore_index=True).sort_values("path")
reasons = {row.path: row.reason for row in rejected}
files["reason"] = files["reason"].fillna(files["path"].map(reasons))
with atomic(snakemake.output.files) as temporary:
    files.to_csv(temporary, index=False)
with atomic(snakemake.output.rejected) as temporary:
    files.loc[files["reason"].notna(), ["path", "reason"]].to_csv(temporary, index=False)
remove_gone(Path(snakemake.output.train).parent, shards)
