"""A chapter of a text in the voice of a model."""

import logging
import shutil
from pathlib import Path

from revoice.devices import claim_gpus, keep_memory
from revoice.evaluation.recognizers import load_recognizer
from revoice.files import atomic, read_json, write_json
from revoice.speaking.pieces import pieces
from revoice.speaking.talker import Talker
from revoice.speaking.telling import How, read_text, speak_to
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
given, params, speak = snakemake.input, snakemake.params, dict(snakemake.params.speak)
keep_memory()
talker = Talker.load(Path(given.model).parent, given=params.synthesis)
language, voice = speak.pop("language"), speak.pop("voice")
recognizer, text = None, read_text(given[0])
try:
    some = pieces(text, talker.known(language), language)
except ValueError as error:
    raise ValueError(f"{given[0]}: {error}") from None
if speak.pop("verify"):
    folder = read_json(given.recognizer)["folder"] if given.recognizer else None
    recognizer = load_recognizer(folder, "int8")
how, prompt = How(**speak), talker.voice(voice)
kept = Path(params.kept, params.code)  # what other code has told is told anew
with atomic(snakemake.output.audio) as temporary:
    done = speak_to(temporary, talker, some, prompt, how, recognizer, kept=kept)
    write_json(snakemake.output.report, done | {"file": snakemake.output.audio, "text": given[0]})
shutil.rmtree(params.kept, ignore_errors=True)
logging.info("%.1f s of speech in %.1f s", done["seconds"], done["took"])
