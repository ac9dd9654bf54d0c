"""The experiments compared, their curves, and the page to listen to."""

from pathlib import Path

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
write_summary(compare(experiments), snakemake.output.markdown, snakemake.output.csv, made_by)
write_page(page, snakemake.output.media, experiments)
