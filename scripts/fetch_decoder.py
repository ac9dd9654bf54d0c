"""The weights of Vocos, or the word that the codec decodes its codes itself.

The weights are kept in data/ and are no output of the rule: Snakemake would remove them first.
"""

from revoice.codec.vocos_files import choose_decoder
from revoice.files import read_json, write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
codec = read_json(snakemake.input.choice)
decoder = choose_decoder(codec, snakemake.input.published, "data/vocos")
write_json(snakemake.output.decoder, decoder)
