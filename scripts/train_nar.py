"""Training of the NAR."""

from revoice.training.launch import run_rule
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
run_rule(snakemake, "nar")
