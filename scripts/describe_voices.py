"""What a synthetic corpus is made of, from its shards' tables and the list of its sources."""

import pandas as pd
from revoice.files import read_json, write_json
from revoice.synthetic.record import describe
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
tables = [
    pd.read_csv(path, usecols=["path", "duration", "reason"], dtype={"path": str, "reason": str})
    for path in snakemake.input.tables
]
utterances = pd.concat(tables, ignore_index=True)
sources = read_json(snakemake.input.sources)
write_json(snakemake.output.record, describe(snakemake.params.voices, utterances, sources))
