"""Loss and Top10Accuracy of a model on train, dev and test."""

from functools import partial
from pathlib import Path

from lhotse import CutSet
from revoice.config import SPLITS
from revoice.devices import best_device, claim_gpus, keep_memory
from revoice.evaluation.evaluate import evaluate, provenance
from revoice.evaluation.trained import load_trained
from revoice.files import read_json, write_json
from revoice.model.finetune import load_initial
from revoice.model.precision import computing
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
keep_memory()
given, settings = snakemake.input, snakemake.params.evaluation
ar, nar, meta, tokenizer = load_trained(given.model, given.tokenizer, given.codec, given.test)
counts = {split: sum(1 for _ in CutSet.from_jsonl_lazy(given[split])) for split in SPLITS}
splits = {split: given[split] for split, count in counts.items() if count}
device = best_device()
measured = partial(
    evaluate,
    batch_seconds=settings["batch_seconds"],
    max_train_cuts=settings["max_train_cuts"],
    seed=settings["seed"],
    device=device,
    precision=computing(settings["precision"], device),
    ends=tokenizer.ends,
)
results = measured({"ar": ar, "nar": nar}, splits)
if given.get("init_ar"):
    initial = snakemake.params.initial
    held_out = {split: path for split, path in splits.items() if split != "train"}
    results["initial"] = {}
    for part, seed in initial["seeds"].items():
        stem = str(Path(given[f"init_{part}"]).with_suffix(""))
        start, _ = load_initial(part, stem, initial["languages"], tokenizer.num_symbols, seed)
        results["initial"] |= measured({part: start}, held_out)
results["made_by"] = provenance(
    f"{snakemake.params.corpora}: {', '.join(f'{n} {split}' for split, n in counts.items())} cuts",
    read_json(given.codec),
    meta,
    given.model,
)
write_json(snakemake.output.evaluation, results)
