"""Training of the NAR."""

from revoice.launch import run_rule
from revoice.workflow import script_logging

script_logging(snakemake)
run_rule(snakemake, "nar")
