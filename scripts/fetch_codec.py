"""The codec's weights, or the decision to do without them.

The weights are kept in data/ and are no output of the rule: Snakemake would remove them first.
"""

from revoice.codec.choice import choose_codec
from revoice.config import CodecConfig
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
config = CodecConfig(**snakemake.params.codec)
choice = choose_codec(config, snakemake.input.published, "data/codec")
write_json(snakemake.output.choice, choice)
