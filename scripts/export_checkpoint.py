"""A trained model to a .pt in the originals' layout."""

from pathlib import Path

from revoice.model.pretrained import export_checkpoint
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
export_checkpoint(Path(snakemake.input.weights).with_suffix(""), snakemake.output[0])
