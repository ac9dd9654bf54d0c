"""One language of the default corpus beside a record of what was got."""

from pathlib import Path

from revoice.corpus.asterisk import fetch
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
record = Path(snakemake.output[0])
write_json(record, fetch(snakemake.wildcards.language, record.with_suffix("")))
