"""Published weights, verified; the record says what was got."""

from revoice.download import download, read_published
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
weights = read_published(snakemake.params.name)
path = str(snakemake.params.path)
digest = download(weights.url, path, weights.sha256)
write_json(
    snakemake.output.record,
    {"path": path, "url": weights.url, "sha256": digest, "verified": bool(weights.sha256)},
)
