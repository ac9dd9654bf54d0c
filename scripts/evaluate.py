"""Loss and Top10Accuracy of a model on train, dev and test."""

from pathlib import Path

from revoice.checkpoints import load_model
from revoice.devices import best_device
from revoice.evaluation import evaluate
from revoice.files import read_json, write_json
from revoice.tables import write_tables
from revoice.workflow import script_logging

script_logging(snakemake)
settings = snakemake.params.evaluation
ar, nar, meta = load_model(Path(snakemake.input.model).with_suffix(""))
results = evaluate(
    {"ar": ar, "nar": nar},
    {split: snakemake.input[split] for split in ("train", "dev", "test")},
    settings["batch_seconds"],
    settings["max_train_cuts"],
    settings["seed"],
    best_device(),
)
codec = read_json(snakemake.input.codec)
results["made_by"] = {"codec": codec["name"], "tokenizer": meta["tokenizer"]["name"]}
write_json(snakemake.output.evaluation, results)
write_tables(results, snakemake.output.markdown, snakemake.output.csv)
