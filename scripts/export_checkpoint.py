"""A trained model to a .pt in the originals' layout."""

from revoice.checkpoints import export_checkpoint
from revoice.workflow import script_logging

script_logging(snakemake)
export_checkpoint(snakemake.input.weights.removesuffix(".safetensors"), snakemake.output[0])
