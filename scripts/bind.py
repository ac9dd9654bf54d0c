"""The chapters of a text in a row, in one file."""

import numpy as np
import soundfile
from revoice.speaking.writing import note_of, write_speech
from revoice.workflow.scripts import script_logging

SECONDS = 30  # in memory at a time

script_logging(snakemake)
chapters = snakemake.input.chapters
rate = soundfile.info(chapters[0]).samplerate


def parts():
    """What is heard, a part at a time."""
    for number, path in enumerate(chapters):
        if number:
            yield np.zeros(round(snakemake.params.pause * rate), np.float32)
        yield from soundfile.blocks(path, SECONDS * rate, dtype="float32")


write_speech(snakemake.output.audio, parts(), rate, note_of(chapters[0]))
