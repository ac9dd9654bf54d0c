"""Segments of a shard that are kept, and a table of all with why the others are not."""

from itertools import groupby
from pathlib import Path

import pandas as pd
from lhotse import CutSet, RecordingSet, SupervisionSet
from revoice.config import CorpusConfig
from revoice.config_recordings import QualityConfig
from revoice.corpus.files import usable_by_id
from revoice.corpus.naming import corpus_root
from revoice.files import atomic
from revoice.recordings.cuts import read_left_out
from revoice.recordings.labels import LABELS, read_labels
from revoice.recordings.select import COLUMNS, judged, kept_cuts, proofread, rows_of, uncovered
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given, wildcards = snakemake.input, snakemake.wildcards
corpus = CorpusConfig(**snakemake.params.corpus)
paths = usable_by_id(Path(given.table))
recordings = {paths[r.id]: r for r in RecordingSet.from_jsonl_lazy(given.recordings)}
speakers = {}
if given.speakers:
    speakers = pd.read_csv(given.speakers, index_col="id")["speaker"].to_dict()
rows = rows_of(
    CutSet.from_jsonl_lazy(given.cuts),
    SupervisionSet.from_jsonl_lazy(given.heard),
    pd.read_csv(given.quality),
    speakers,
    paths,
    corpus,
)
found = {path: list(of_it) for path, of_it in groupby(rows, key=lambda row: row["recording"])}
labels = sorted(read_labels(corpus_root(corpus) / LABELS), key=lambda label: label.recording)
for path, of_it in groupby(labels, key=lambda label: label.recording):
    if path in recordings:
        found[path] = proofread(found.get(path, []), list(of_it), recordings[path], corpus)
language = None if "auto" in corpus.languages else corpus.languages[0]
quality = QualityConfig(**snakemake.params.quality)
known = [row for path in recordings for row in judged(found.get(path, []), quality, language)]
with (
    atomic(snakemake.output.cuts) as temporary,
    CutSet.open_writer(temporary) as writer,
):
    for cut in kept_cuts(known, recordings, f"{wildcards.corpus}/{wildcards.shard}"):
        writer.write(cut)
left_out = uncovered(read_left_out(given.left_out), known)
table = pd.concat([pd.DataFrame(known, columns=COLUMNS), left_out])[COLUMNS]
with atomic(snakemake.output.segments) as temporary:
    table.to_csv(temporary, index=False)
