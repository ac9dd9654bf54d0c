"""An original's checkpoint (.pt) to model.safetensors and model.json."""

import logging
from pathlib import Path

from revoice.model.pretrained import CODEC, import_checkpoint
from revoice.text import VallexTokenizer, load_tokenizer
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
config = import_checkpoint(
    snakemake.params.path,
    Path(snakemake.output.weights).with_suffix(""),
    vallex_tokenizer=VallexTokenizer().meta,
    tokenizer=load_tokenizer(snakemake.input.symbols).meta if snakemake.input.symbols else None,
    codec=CODEC,
)
logging.info("%s is %s", snakemake.params.path, config)
