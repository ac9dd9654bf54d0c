"""Audio of one shard to codec codes."""

from lhotse import CutSet, RecordingSet
from revoice.codec.cuts import encode_cuts
from revoice.codec.files import load_codec
from revoice.devices import claim_gpus
from revoice.files import atomic
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
codec = load_codec(snakemake.input.codec, device="auto")
recordings = RecordingSet.from_jsonl_lazy(snakemake.input.recordings)
cuts = CutSet.from_manifests(recordings=recordings)
encoded = encode_cuts(cuts, codec, snakemake.output.codes, snakemake.threads)
with atomic(snakemake.output.cuts) as temporary:
    encoded.to_file(temporary)
