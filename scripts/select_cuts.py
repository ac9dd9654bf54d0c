"""Tokenized cuts with their codes: those that fit, voices mixed in train; a list of the others."""

from pathlib import Path

from lhotse import CutSet
from revoice.config import SPLITS, LimitsConfig
from revoice.files import atomic, read_json, scratch, write_json
from revoice.text import load_tokenizer
from revoice.training.align import align, aligner_of
from revoice.training.examples import attach_codes, digest_cuts
from revoice.training.limits import Fitting
from revoice.training.mixing import mix
from revoice.workflow.scripts import script_logging
from safetensors.torch import save_file

script_logging(snakemake)
codec, tokenizer = read_json(snakemake.input.codec), load_tokenizer(snakemake.input.tokenizer)
# results/corpora/{corpus}/codes/{codec}/{shard}.jsonl.gz
encoded = {
    f"{path.parts[-4]}/{path.name.removesuffix('.jsonl.gz')}": path
    for path in map(Path, snakemake.input.codes)
}
fitting = Fitting(LimitsConfig(**snakemake.params.limits))
folder = Path(snakemake.output.train).parent
with scratch(folder, "selected") as temporary:
    selected = {split: temporary / f"{split}.jsonl.gz" for split in SPLITS}
    for split, path in selected.items():
        cuts = CutSet.from_jsonl_lazy(snakemake.input[split])
        chosen = fitting.of(attach_codes(cuts, encoded, codec, tokenizer), split)
        if split == "train":  # the others keep the order of their recordings
            chosen = mix(chosen, snakemake.params.seed, folder)
        with CutSet.open_writer(path) as writer:
            for cut in chosen:
                writer.write(cut)
    name, log = snakemake.wildcards.experiment, snakemake.log
    fitting.check(name, snakemake.params.validated, log.excluded)
    known = aligner_of(snakemake.input.aligner) if snakemake.input.get("aligner") else None
    aligner = align(selected, snakemake.output, tokenizer.num_symbols, known)
with atomic(snakemake.output.aligner) as temporary:
    save_file(aligner.state_dict(), temporary)
fitting.write(snakemake.output.excluded)
write_json(snakemake.output.digests, {s: digest_cuts(snakemake.output[s]) for s in SPLITS})
