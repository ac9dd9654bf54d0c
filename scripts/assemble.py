"""The AR and the NAR of an experiment as one model, with the tokenizer that it was trained with."""

from pathlib import Path

from revoice.model.checkpoint import assemble
from revoice.text import load_tokenizer
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
assemble(
    Path(snakemake.input.ar).with_suffix(""),
    Path(snakemake.input.nar).with_suffix(""),
    Path(snakemake.output.weights).with_suffix(""),
    {"source": snakemake.wildcards.experiment},
)
load_tokenizer(snakemake.input.tokenizer).save(snakemake.output.tokenizer)
