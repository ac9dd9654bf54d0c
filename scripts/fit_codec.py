"""The codec ready for use: EnCodec's weights converted, or WORLD's codebooks fitted."""

from revoice.codec.cuts import sample_recordings
from revoice.codec.encodec import convert
from revoice.codec.files import describe_codec
from revoice.codec.world import WorldCodec
from revoice.config import CodecConfig
from revoice.files import read_json, write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
config = CodecConfig(**snakemake.params.settings["codec"])
choice = read_json(snakemake.input.choice)
weights = snakemake.output.weights
if choice["name"] == "world":
    recordings = sample_recordings(snakemake.input.cuts, config.fit_minutes * 60, config.seed)
    WorldCodec.fit(recordings, config.seed, snakemake.threads).save(weights)
else:
    convert(choice["weights"], weights)
describe_codec(snakemake.output.codec, weights, choice)
made_of = {"settings": snakemake.params.settings, "cuts": list(snakemake.input.cuts)}
write_json(snakemake.output.settings, made_of)
