"""Training of one part, the AR or the NAR; one that is not trained is taken over as it is."""

from itertools import islice
from pathlib import Path

from lhotse import CutSet
from revoice.codec import check_codec
from revoice.codec.identity import identity
from revoice.devices import claim_gpus
from revoice.files import read_json
from revoice.model.checkpoint import load_meta
from revoice.text import check_tokenizer, load_tokenizer
from revoice.text.cuts import check_tokens
from revoice.training.examples import check_codes
from revoice.training.job import Job
from revoice.training.launch import adopt, processes_per_node, run
from revoice.training.setup import new_model
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
given, params, resources = snakemake.input, snakemake.params.run, snakemake.resources
tokenizer, codec = load_tokenizer(given.tokenizer), read_json(given.codec)
init = str(Path(given.init).with_suffix("")) if given.get("init") else None
if init:
    check_tokenizer(tokenizer, meta := load_meta(init), grown=True)
    check_codec(codec, meta, f"{init}.json")
text = {"text_symbols": tokenizer.num_symbols, "pad": tokenizer.pad}
model = None if init else new_model(params["model"] | text, given.train, given.codec)
for path in given.codes:
    check_codes(path, codec)
for manifest in (given.train, given.dev):
    for cut in islice(CutSet.from_jsonl_lazy(manifest), 1):
        check_tokens(cut, tokenizer)
job = Job(
    name=snakemake.wildcards.experiment,
    **{key: params[key] for key in ("part", "new_languages", "weights")},
    train=params["train"] or {},
    train_cuts=given.train,
    dev_cuts=given.dev,
    work="work",
    out=str(Path(snakemake.output.weights).with_suffix("")),
    model=model,
    codec=given.codec,
    aligner=given.get("aligner"),
    init=init,
    data=read_json(given.digests),
    text_symbols=tokenizer.num_symbols,
    separator=list(tokenizer.separator),
    ends=list(tokenizer.ends),
    meta={"tokenizer": tokenizer.meta, "codec": identity(codec)},
    code=snakemake.params.code,
    threads=snakemake.threads,
    log=str(snakemake.log[0]),
)
if params["train"] is None:
    adopt(job)
else:
    claim_gpus(resources.get("gpu", 0))
    run(job, processes_per_node(resources), resources.get("nodes", 1))
