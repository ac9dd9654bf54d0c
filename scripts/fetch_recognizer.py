"""The recognizer's weights, or the decision to do without them.

The weights are kept in data/ and are no output of the rule: Snakemake would remove them first.
"""

from revoice.evaluation.choice import choose_recognizer
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
choice = choose_recognizer(snakemake.params.model, snakemake.input.published, "data")
write_json(snakemake.output.choice, choice)
