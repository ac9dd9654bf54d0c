"""The chapters of a text in a row, in one file."""

import numpy as np
import soundfile
from revoice.speaking.writing import write_speech
from revoice.workflow.scripts import script_logging

SECONDS = 30  # in memory at a time

script_logging(snakemake)
chapters = snakemake.input.chapters
with soundfile.SoundFile(chapters[0]) as first:
    rate, note = first.samplerate, first.comment


def parts():
    """What is heard, a part at a time."""
    for number, path in enumerate(chapters):
        if number:
            yield np.zeros(round(snakemake.params.pause * rate), np.float32)
        yield from soundfile.blocks(path, SECONDS * rate, dtype="float32")


write_speech(snakemake.output.audio, parts(), rate, note)
