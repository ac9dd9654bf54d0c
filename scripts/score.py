"""The test sentences as recording, reconstruction and synthesis: what the measures say."""

from revoice.config import ScoreConfig
from revoice.evaluation.scoring import read_sentences, score_sentences
from revoice.files import atomic, read_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
sentences = read_sentences(snakemake.input.sentences)
config = ScoreConfig.model_validate(snakemake.params.score)
choice = read_json(snakemake.input.recognizer) if snakemake.input.get("recognizer") else None
clips, summary = score_sentences(sentences, config, snakemake.threads, choice)
with atomic(snakemake.output.clips) as temporary:
    clips.to_csv(temporary, index=False)
with atomic(snakemake.output.csv) as temporary:
    summary.to_csv(temporary, index=False)
