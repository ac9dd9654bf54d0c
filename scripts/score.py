"""The test sentences as recording, reconstruction and synthesis: what the measures say."""

from pathlib import Path

import pandas as pd

from revoice.config import ScoreConfig
from revoice.evaluation.scoring import score_sentences, scores_markdown
from revoice.files import atomic, read_json
from revoice.report.tables import provenance
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
sentences = pd.read_csv(
    snakemake.input.sentences, dtype={"id": str, "speaker": str, "prompt_id": str}
)
config = ScoreConfig.model_validate(snakemake.params.score)
clips, summary = score_sentences(sentences, config, snakemake.threads)
with atomic(snakemake.output.clips) as temporary:
    clips.to_csv(temporary, index=False)
with atomic(snakemake.output.csv) as temporary:
    summary.to_csv(temporary, index=False)
made_by = provenance(
    f"{len(sentences)} sentences, {snakemake.input.sentences}",
    read_json(snakemake.input.codec),
    read_json(snakemake.input.model),
    Path(snakemake.input.model).with_suffix(".safetensors"),
)
with atomic(snakemake.output.markdown) as temporary:
    temporary.write_text(scores_markdown(summary, made_by), "utf-8")
