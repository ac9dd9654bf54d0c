"""The test sentences as recording, reconstruction and synthesis: what the measures say."""

import pandas as pd
from revoice.config import ScoreConfig
from revoice.evaluation.scoring import score_sentences
from revoice.files import TEXTS, atomic, read_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
texts = dict.fromkeys(("id", "text", "speaker", "prompt_id"), str)
sentences = pd.read_csv(snakemake.input.sentences, dtype=texts, **TEXTS)
config = ScoreConfig.model_validate(snakemake.params.score)
choice = read_json(snakemake.input.recognizer) if snakemake.input.get("recognizer") else None
clips, summary = score_sentences(sentences, config, snakemake.threads, choice)
with atomic(snakemake.output.clips) as temporary:
    clips.to_csv(temporary, index=False)
with atomic(snakemake.output.csv) as temporary:
    summary.to_csv(temporary, index=False)
