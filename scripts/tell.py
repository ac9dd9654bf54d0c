"""A chapter of a text in the voice of a model."""

import logging
from pathlib import Path

from revoice.config import SpokenConfig
from revoice.devices import claim_gpus, keep_memory
from revoice.evaluation.recognizers import load_pocketsphinx, load_whisper
from revoice.files import atomic, read_json, write_json
from revoice.speaking.pieces import pieces
from revoice.speaking.talker import Talker
from revoice.speaking.telling import How, speak_to
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
given, config = snakemake.input, SpokenConfig(**snakemake.params.speak)
keep_memory()
talker = Talker.load(Path(given.model).parent, given=snakemake.params.synthesis)
text = Path(given[0]).read_text("utf-8-sig")
some = pieces(text, talker.languages or ["en"], config.language)
recognizer = None
if config.verify:
    folder = read_json(given.recognizer)["folder"] if given.recognizer else None
    recognizer = load_whisper(folder, compute_type="int8") if folder else load_pocketsphinx()
keys = ("speed", "accent", "seed", "prompts", "retries", "errors")
how = How(**{key: getattr(config, key) for key in keys})
kept, prompt = Path(snakemake.params.kept), talker.voice(config.voice)
with atomic(snakemake.output.audio) as temporary:
    done = speak_to(temporary, talker, some, prompt, how, recognizer, kept=kept)
    write_json(snakemake.output.report, done | {"file": snakemake.output.audio, "text": given[0]})
logging.info("%.1f s of speech in %.1f s", done["seconds"], done["took"])
