"""Tokenized cuts with their codes: those that fit, voices mixed in train; a list of the others."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from lhotse import CutSet
from revoice.config import SPLITS, LimitsConfig
from revoice.files import atomic, read_json, write_json
from revoice.text import load_tokenizer
from revoice.training.align import align
from revoice.training.examples import attach_codes, digest_cuts, excluded_row, exclusion_reason
from revoice.training.mixing import mix
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
limits = LimitsConfig(**snakemake.params.limits)
codec, tokenizer = read_json(snakemake.input.codec), load_tokenizer(snakemake.input.tokenizer)
# results/corpora/{corpus}/codes/{codec}/{shard}.jsonl.gz
encoded = {
    f"{path.parts[-4]}/{path.name.removesuffix('.jsonl.gz')}": path
    for path in map(Path, snakemake.input.codes)
}
excluded = []


def fitting(cuts, split):
    for cut in cuts:
        if reason := exclusion_reason(cut, limits):
            excluded.append({"split": split, **excluded_row(cut, reason)})
        else:
            yield cut


folder = Path(snakemake.output.train).parent
with TemporaryDirectory(dir=folder) as temporary:
    selected = {split: Path(temporary) / f"{split}.jsonl.gz" for split in SPLITS}
    for split, path in selected.items():
        cuts = CutSet.from_jsonl_lazy(snakemake.input[split])
        chosen = fitting(attach_codes(cuts, encoded, codec, tokenizer), split)
        if split == "train":  # the others keep the order of their recordings
            chosen = mix(chosen, snakemake.params.seed, folder)
        kept = 0
        with CutSet.open_writer(path) as writer:
            for cut in chosen:
                writer.write(cut)
                kept += 1
        logging.info("%s: %d cuts", split, kept)
        if not kept:
            raise ValueError(
                f"no cut is left in {split}: raise split.{split}, or widen the experiment's "
                f"`limits` (the log {snakemake.log[0]} and rejected.csv say what was left out)"
            )
    align(selected, snakemake.output, tokenizer.num_symbols)
with atomic(snakemake.output.excluded) as temporary:
    columns = ["split", "id", "seconds", "symbols", "frames", "reason"]
    pd.DataFrame(excluded, columns=columns).to_csv(temporary, index=False)
write_json(snakemake.output.digests, {s: digest_cuts(snakemake.output[s]) for s in SPLITS})
