"""Whether the limits of what trains on a corpus leave any cuts, by their lengths alone."""

from itertools import chain

from lhotse import CutSet
from revoice.config import LimitsConfig
from revoice.training.limits import Fitting
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
for name, experiment in snakemake.params.experiments.items():
    fitting = Fitting(LimitsConfig(**experiment["limits"]))
    for split, paths in experiment["manifests"].items():
        for _ in fitting.of(chain.from_iterable(map(CutSet.from_jsonl_lazy, paths)), split):
            pass
    fitting.check(name, snakemake.params.validated, snakemake.log.excluded)
