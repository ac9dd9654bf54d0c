"""What is said in the segments of a shard, with words, their times, and how sure of them."""

import logging
from functools import cache
from pathlib import Path

from lhotse import CutSet, SupervisionSet
from revoice.config import CorpusConfig
from revoice.corpus.files import usable_by_id
from revoice.corpus.transcripts import text_beside
from revoice.files import atomic, read_json
from revoice.recordings.heard import supervise
from revoice.recordings.judge import whisper_code
from revoice.recordings.transcribe import load_hear
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
corpus, root = CorpusConfig(**snakemake.params.corpus), Path(snakemake.params.root)
choice, paths = read_json(snakemake.input.recognizer), usable_by_id(Path(snakemake.input.table))
language = None if "auto" in corpus.languages else whisper_code(corpus.languages[0])


@cache
def whisper():
    """The recognizer, which is not loaded before there is something to hear."""
    if choice["folder"] is None:
        raise ValueError(
            f"recordings without subtitles need Whisper, and there is none ({choice['reason']}). "
            "Bring its files to data/whisper-base, or name a folder as recordings.recognizer; "
            f"then: snakemake --forcerun fetch_recognizer -- {snakemake.input.recognizer}"
        )
    return load_hear(choice["folder"], snakemake.threads)


def transcript(recording):
    """The text of a whole recording, where there is one that can be read."""
    text, why = text_beside(root / paths[recording])
    if not text and "is not UTF-8" in why:
        logging.warning("%s: %s: it is recognised instead", paths[recording], why)
    return text.strip() or None


cuts = CutSet.from_jsonl_lazy(snakemake.input.cuts)
said = supervise(cuts, lambda *given: whisper()(*given), language, transcript)
with (
    atomic(snakemake.output.heard) as temporary,
    SupervisionSet.open_writer(temporary) as writer,
):
    for supervision in said:
        writer.write(supervision)
