"""Who speaks in each segment of a corpus, told apart by voice; a table of the speakers."""

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from lhotse import CutSet
from revoice.corpus.files import usable_by_id
from revoice.files import atomic
from revoice.recordings.diarize import speakers_table, tell_apart
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given, params = snakemake.input, snakemake.params
cuts = list(chain.from_iterable(map(CutSet.from_jsonl_lazy, given.cuts)))
paths = dict(chain.from_iterable(usable_by_id(Path(table)).items() for table in given.tables))
seconds = np.array([cut.duration for cut in cuts])
embeddings = np.concatenate([np.load(path) for path in given.embeddings])
labels = tell_apart(embeddings, seconds, params.same_speaker, params.speakers, params.seed)
recordings = [paths[cut.recording_id] for cut in cuts]
begins, ends = (np.array([getattr(cut, key) for cut in cuts]) for key in ("start", "end"))
table = speakers_table(embeddings, labels, seconds, recordings, begins, ends)
# of two corpora the first speakers are two people
table["speaker"] = f"{snakemake.wildcards.corpus}-" + table["speaker"]
with atomic(snakemake.output.speakers) as temporary:
    table.to_csv(temporary, index=False)
who = pd.DataFrame({"id": [cut.id for cut in cuts], "speaker": labels})
who["speaker"] = table["speaker"].to_numpy()[labels]
with atomic(snakemake.output.segments) as temporary:
    who.to_csv(temporary, index=False)
