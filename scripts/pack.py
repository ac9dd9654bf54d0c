"""A voice to give away: the model in half precision, what it reads and speaks with, its voices."""

import shutil
from pathlib import Path

from revoice.files import atomic
from revoice.model.pack import write_half
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given = snakemake.input
with atomic(snakemake.output.folder) as folder:
    folder.mkdir()
    write_half(Path(given.weights).with_suffix(""), folder / "model")
    for path in (given.tokenizer, given.codec, given.codec_weights):
        shutil.copyfile(path, folder / Path(path).name)
    shutil.copytree(given.voices, folder / "voices")
