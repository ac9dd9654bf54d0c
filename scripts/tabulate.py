"""The tables of an experiment as they are read, with notes and what made them."""

from revoice.evaluation.scoring import read_sentences
from revoice.files import read_json
from revoice.report.scores import made_decoder, read_scores, write_scores
from revoice.report.tables import write_tables
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given = snakemake.input
evaluation = read_json(given.evaluation)
write_tables(evaluation, snakemake.output.markdown, snakemake.output.csv)
spoken = read_sentences(given.sentences)
times = f", {spoken['seed'].nunique()} times each" if spoken["seed"].nunique() > 1 else ""
data = f"{spoken['id'].nunique()} sentences{times}, {given.sentences}"
made_by = evaluation["made_by"] | {"data": data} | made_decoder(spoken)
write_scores(read_scores(given.scores), made_by, snakemake.output.scores)
