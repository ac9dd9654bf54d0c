"""The codec's weights, or the decision to do without them.

The weights are kept in data/ and are no output of the rule: Snakemake would remove them first.
"""

from revoice.codec.choice import choose_codec, given_codec
from revoice.config import CodecConfig
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
if snakemake.input.given:
    choice = given_codec(snakemake.input.given)
else:
    config = CodecConfig(**snakemake.params.codec)
    needed_by = snakemake.params.needed_by
    choice = choose_codec(config, snakemake.input.published, "data/codec", needed_by)
write_json(snakemake.output.choice, choice)
