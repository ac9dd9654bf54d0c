"""Loss and Top10Accuracy of a model on train, dev and test."""

from pathlib import Path

from lhotse import CutSet

from revoice.devices import best_device, claim_gpus
from revoice.evaluation.evaluate import evaluate
from revoice.files import read_json, write_json
from revoice.model.checkpoint import load_model
from revoice.report.tables import provenance, write_tables
from revoice.text import check_tokenizer, load_tokenizer
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
settings = snakemake.params.evaluation
ar, nar, meta = load_model(Path(snakemake.input.model).with_suffix(""))
splits = {split: snakemake.input[split] for split in ("train", "dev", "test")}
tokenizer = load_tokenizer(snakemake.input.tokenizer)
check_tokenizer(tokenizer, meta)
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
    read_json(snakemake.input.codec),
    meta,
    snakemake.input.model,
)
write_json(snakemake.output.evaluation, results)
write_tables(results, snakemake.output.markdown, snakemake.output.csv)
