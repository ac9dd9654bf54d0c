"""The experiments compared, their curves, and the page to listen to."""

from pathlib import Path

import pandas as pd
from revoice.report.curves import write_curves
from revoice.report.page import compare, read_experiment, write_page
from revoice.report.tables import write_summary
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
page, params = Path(snakemake.output.page), snakemake.params
experiments = [
    read_experiment(page.parent / name, config, codec, params.seeds[name])
    for (name, config), codec in zip(
        params.experiments.items(), snakemake.input.codecs, strict=True
    )
]
for experiment, curves in zip(experiments, snakemake.output.curves, strict=True):
    write_curves(curves, experiment.metrics)
made_by = {experiment.name: experiment.evaluation["made_by"] for experiment in experiments}
hours = {Path(path).parent.name: pd.read_csv(path) for path in snakemake.input.hours}
written = snakemake.output
write_summary(compare(experiments), written.markdown, written.csv, made_by, hours)
write_page(page, written.media, experiments, hours)
