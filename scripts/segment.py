"""Recordings of a shard to segments, as cuts into them; a table of what is none."""

from pathlib import Path

from lhotse import RecordingSet
from revoice.config_recordings import RecordingsConfig
from revoice.corpus.files import usable_by_id
from revoice.files import atomic
from revoice.recordings.cuts import segment
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
params, wildcards = snakemake.params, snakemake.wildcards
cuts, left_out = segment(
    list(RecordingSet.from_jsonl_lazy(snakemake.input.recordings)),
    usable_by_id(Path(snakemake.input.table)),
    Path(params.root),
    f"{wildcards.corpus}/{wildcards.shard}",
    RecordingsConfig(**params.lengths),
    params.in_turn,
    snakemake.threads,
)
with atomic(snakemake.output.cuts) as temporary:
    cuts.to_file(temporary)
with atomic(snakemake.output.left_out) as temporary:
    left_out.to_csv(temporary, index=False)
