"""Published weights, verified; the record says what was got.

The download itself is no output of the rule: Snakemake removes outputs before a rule runs, and with
them a file that was put there by hand or a transfer that can be continued.
"""

import os
import shutil
from pathlib import Path

from revoice.download import download, published
from revoice.files import atomic, write_json
from revoice.workflow import script_logging

script_logging(snakemake)
weights = published(snakemake.wildcards.name)
output = Path(snakemake.output[0])
path = output.with_name(weights.file)
digest = download(weights.url, path, weights.sha256)
with atomic(output) as temporary:
    try:
        os.link(path, temporary)  # no second copy
    except OSError:  # a file system without links
        shutil.copyfile(path, temporary)
write_json(
    snakemake.output.record,
    {"file": path.name, "url": weights.url, "sha256": digest, "verified": bool(weights.sha256)},
)
