"""The AR and the NAR of an experiment as one model."""

from pathlib import Path

from revoice.checkpoints import assemble
from revoice.workflow import script_logging

script_logging(snakemake)
assemble(
    Path(snakemake.input.ar).with_suffix(""),
    Path(snakemake.input.nar).with_suffix(""),
    Path(snakemake.output.weights).with_suffix(""),
    {"source": snakemake.wildcards.experiment},
)
