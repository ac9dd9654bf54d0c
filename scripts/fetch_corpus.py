"""One language of the default corpus, and a record of what was got."""

from revoice.asterisk import fetch
from revoice.files import write_json
from revoice.workflow import script_logging

script_logging(snakemake)
record = fetch(snakemake.wildcards.language, snakemake.params.folder)
write_json(snakemake.output.record, record)
