"""Whether the limits of what trains on a corpus leave any cuts, by their lengths alone."""

from itertools import chain

from lhotse import CutSet
from revoice.config import LimitsConfig
from revoice.training.limits import Fitting
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
params = snakemake.params
for name, limits in params.experiments.items():
    fitting = Fitting(LimitsConfig(**limits))
    for split, paths in params.manifests[name].items():
        for _ in fitting.of(chain.from_iterable(map(CutSet.from_jsonl_lazy, paths)), split):
            pass
    fitting.check(name, params.validated, snakemake.log.excluded)
