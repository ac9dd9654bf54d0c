"""The experiments compared, their curves, and the page to listen to."""

from pathlib import Path

from revoice.files import read_json
from revoice.report.curves import write_curves
from revoice.report.page import compare, read_experiment, write_page
from revoice.report.tables import write_summary
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
page = Path(snakemake.output.page)
configs = snakemake.params.experiments
experiments = [read_experiment(page.parent / name, config) for name, config in configs.items()]
for experiment, curves in zip(experiments, snakemake.output.curves, strict=True):
    write_curves(curves, experiment.metrics)
made_by = {experiment.name: experiment.evaluation["made_by"] for experiment in experiments}
write_summary(compare(experiments), snakemake.output.markdown, snakemake.output.csv, made_by)
codec = read_json(snakemake.input.codec)
write_page(page, snakemake.output.media, experiments, codec, snakemake.params.seeds)
