"""Files of one shard to 24 kHz mono WAV, and a table of what they were."""

from pathlib import Path

import pandas as pd
from revoice.config import AudioConfig
from revoice.corpus.audio import recordings_of, resample
from revoice.corpus.naming import read_shard
from revoice.files import atomic
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
audio = AudioConfig(**snakemake.params.audio)
folder = Path(snakemake.output.audio)
sources = resample(
    snakemake.wildcards.corpus,
    read_shard(folder.parent.parent / f"shards/{snakemake.wildcards.shard}.tsv"),
    Path(snakemake.params.root),
    folder,
    audio,
    snakemake.threads,
)
rejected = [source for source in sources if source.reason]
if audio.strict and rejected:
    reasons = "\n".join(f"  {source.path} {source.reason}" for source in rejected)
    raise ValueError(
        f"{len(rejected)} files cannot be used, and audio.strict is set:\n{reasons}\n"
        "Mend or remove them, or set audio.strict: false to go on without them."
    )
with atomic(snakemake.output.table) as temporary:
    pd.DataFrame(sources).to_csv(temporary, index=False)
with atomic(snakemake.output.recordings) as temporary:
    recordings_of(sources, folder).to_file(temporary)
