"""The AR and the NAR of an experiment as one model, with its tokenizer and its codec beside it."""

import shutil
from pathlib import Path

from revoice.codec import check_codec
from revoice.codec.identity import identity
from revoice.files import atomic, read_json, write_json
from revoice.model import PARTS
from revoice.model.checkpoint import assemble, load_meta
from revoice.text import load_tokenizer
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
codec = read_json(snakemake.input.codec)
parts = [Path(snakemake.input[part]).with_suffix("") for part in PARTS]
for part in parts:
    check_codec(codec, load_meta(part), str(part))
meta = {"codec": identity(codec), "source": snakemake.wildcards.experiment}
assemble(*parts, Path(snakemake.output.weights).with_suffix(""), meta)
with atomic(snakemake.output.codec_weights) as temporary:
    shutil.copyfile(snakemake.input.codec_weights, temporary)
weights = Path(snakemake.output.codec_weights).name
write_json(snakemake.output.codec, {**codec, "weights": weights})
load_tokenizer(snakemake.input.tokenizer).save(snakemake.output.tokenizer)
