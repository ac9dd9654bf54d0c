"""An original's checkpoint (.pt) to model.safetensors and model.json."""

import logging

from revoice.checkpoints import import_checkpoint
from revoice.workflow import script_logging

script_logging(snakemake)
params = snakemake.params
config = import_checkpoint(
    snakemake.input[0],
    snakemake.output.weights.removesuffix(".safetensors"),
    heads=params.get("heads"),
    languages=params.get("languages"),
    pad=params.get("pad"),
    meta=params.get("meta"),
)
logging.info("%s is %s", snakemake.input[0], config)
