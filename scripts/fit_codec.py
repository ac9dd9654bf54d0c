"""The codec ready for use: EnCodec converted, WORLD fitted, or one that came with a model."""

import shutil

from revoice.codec.cuts import sample_recordings
from revoice.codec.encodec import convert
from revoice.codec.files import describe_codec
from revoice.codec.world import WorldCodec
from revoice.config import CodecConfig
from revoice.files import atomic, read_json, sha256, write_json
from revoice.workflow.scripts import script_logging

MOVED_MINUTES, MOVED_SEED = 10, 1
script_logging(snakemake)
choice, settings = read_json(snakemake.input.choice), snakemake.params.settings
published, weights = choice["weights"], snakemake.output.weights
if published is None:
    config = CodecConfig(**settings["codec"])
    recordings = sample_recordings(snakemake.input.cuts, config.fit_minutes * 60, config.seed)
    WorldCodec.fit(recordings, config.seed, snakemake.threads).save(weights)
elif snakemake.input.cuts:  # of a model, which knows its codes: they keep their meaning
    recordings = sample_recordings(snakemake.input.cuts, 60 * MOVED_MINUTES, MOVED_SEED)
    WorldCodec.load(published).moved(recordings, MOVED_SEED, snakemake.threads).save(weights)
    choice |= {"like": sha256(published), "reason": f"{choice['reason']}, moved to this speech"}
elif published.endswith(".safetensors"):
    with atomic(weights) as temporary:
        shutil.copyfile(published, temporary)
else:
    convert(published, weights)
describe_codec(snakemake.output.codec, weights, choice)
made = {**settings, "name": choice["name"], "cuts": list(snakemake.input.cuts)}
write_json(snakemake.output.settings, made)
