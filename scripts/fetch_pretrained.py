"""Published weights, verified; the record says what was got.

The weights are no output of the rule: Snakemake removes outputs before a rule runs, and with them
a file that was put there by hand or a transfer that can be continued.
"""

import yaml

from revoice.download import download
from revoice.files import write_json
from revoice.workflow import script_logging

script_logging(snakemake)
with open(snakemake.input.resource, encoding="utf-8") as file:
    published = yaml.safe_load(file)[snakemake.params.name]
digest = download(published["url"], snakemake.params.path, published["sha256"])
write_json(
    snakemake.output.record,
    {
        "path": str(snakemake.params.path),
        "url": published["url"],
        "sha256": digest,
        "verified": bool(published["sha256"]),
    },
)
