"""Loss and Top10Accuracy of a model on train, dev and test."""

from functools import partial
from pathlib import Path

from lhotse import CutSet
from revoice.config import SPLITS
from revoice.devices import best_device, claim_gpus
from revoice.evaluation.evaluate import evaluate, provenance
from revoice.evaluation.trained import load_trained
from revoice.files import read_json, write_json
from revoice.model.finetune import load_initial
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
given, settings = snakemake.input, snakemake.params.evaluation
ar, nar, meta, tokenizer = load_trained(given.model, given.tokenizer, given.codec, given.test)
splits = {split: given[split] for split in SPLITS}
measured = partial(
    evaluate,
    batch_seconds=settings["batch_seconds"],
    max_train_cuts=settings["max_train_cuts"],
    seed=settings["seed"],
    device=best_device(),
    ends=tokenizer.ends,
)
results = measured({"ar": ar, "nar": nar}, splits)
if given.get("init_ar"):
    initial, held_out = snakemake.params.initial, {split: splits[split] for split in SPLITS[1:]}
    results["initial"] = {}
    for part, seed in initial["seeds"].items():
        stem = str(Path(given[f"init_{part}"]).with_suffix(""))
        start, _ = load_initial(part, stem, initial["languages"], tokenizer.num_symbols, seed)
        results["initial"] |= measured({part: start}, held_out)
counts = [f"{sum(1 for _ in CutSet.from_jsonl_lazy(p))} {name}" for name, p in splits.items()]
results["made_by"] = provenance(
    f"{snakemake.params.corpora}: {', '.join(counts)} cuts",
    read_json(given.codec),
    meta,
    given.model,
)
write_json(snakemake.output.evaluation, results)
