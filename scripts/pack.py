"""A voice to give away: the model in half precision, what it reads and speaks with, and prompts."""

import shutil
from pathlib import Path

from lhotse import CutSet
from revoice.files import atomic
from revoice.model.pack import choose_prompts, write_half, write_prompt
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given = snakemake.input
cuts = CutSet.from_jsonl_lazy(given.cuts)
prompts = choose_prompts(cuts, snakemake.params.seconds, snakemake.params.seed)
with atomic(snakemake.output.folder) as folder:
    folder.mkdir()
    write_half(Path(given.weights).with_suffix(""), folder / "model")
    for path in (given.tokenizer, given.codec, given.codec_weights):
        shutil.copyfile(path, folder / Path(path).name)
    for cut in prompts:
        write_prompt(cut, folder / "prompts")
