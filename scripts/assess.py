"""How good the segments of a shard sound, and embeddings of who speaks in them."""

import numpy as np
from lhotse import CutSet
from revoice.files import atomic
from revoice.recordings.assess import assess_cuts
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
cuts = CutSet.from_jsonl_lazy(snakemake.input.cuts)
quality, embeddings = assess_cuts(cuts, snakemake.threads)
with atomic(snakemake.output.quality) as temporary:
    quality.to_csv(temporary, index=False)
with atomic(snakemake.output.embeddings) as temporary:
    np.save(temporary, embeddings)
