"""Loss and Top10Accuracy of a model on train, dev and test."""

from lhotse import CutSet
from revoice.config import SPLITS
from revoice.devices import best_device, claim_gpus
from revoice.evaluation.evaluate import evaluate, provenance
from revoice.evaluation.trained import load_trained
from revoice.files import read_json, write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
given, settings = snakemake.input, snakemake.params.evaluation
ar, nar, meta, tokenizer = load_trained(given.model, given.tokenizer, given.codec, given.test)
splits = {split: given[split] for split in SPLITS}
results = evaluate(
    {"ar": ar, "nar": nar},
    splits,
    settings["batch_seconds"],
    settings["max_train_cuts"],
    settings["seed"],
    best_device(),
    tokenizer.ends,
)
counts = [f"{sum(1 for _ in CutSet.from_jsonl_lazy(p))} {name}" for name, p in splits.items()]
results["made_by"] = provenance(
    f"{' + '.join(snakemake.params.corpora)}: {', '.join(counts)} cuts",
    read_json(given.codec),
    meta,
    given.model,
)
write_json(snakemake.output.evaluation, results)
