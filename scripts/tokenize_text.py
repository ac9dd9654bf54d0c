"""Text of the cuts to phonemes and ids; the symbol table comes from the training split."""

from itertools import chain

import pandas as pd
from lhotse import CutSet
from revoice.config import SPLITS, TextConfig
from revoice.corpus.split import text_key
from revoice.files import atomic
from revoice.text import EspeakTokenizer, VallexTokenizer, load_tokenizer
from revoice.text.cuts import tokenize_cuts
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
config = TextConfig(**snakemake.params.text)


def cuts_of(split):
    """The cuts of all corpora, in their order."""
    return chain.from_iterable(CutSet.from_jsonl_lazy(path) for path in snakemake.input[split])


said = ((cut.supervisions[0].text, cut.supervisions[0].language) for cut in cuts_of("train"))
base = load_tokenizer(snakemake.input.base) if snakemake.input.base else None
if snakemake.params.tokenizer == "espeak":
    tokenizer = EspeakTokenizer.build(said, base)
else:
    given = [base.symbols, base.languages] if base else []
    tokenizer = VallexTokenizer(config.mend, *given)
    if new := snakemake.params.new_languages:
        tokenizer = tokenizer.grow(pair for pair in said if pair[1] in new)
# Each corpus keeps its own test texts out of its train; here, those of the others as well.
tested = {hash(text_key(cut.supervisions[0].text)) for cut in cuts_of("test")}
reports = []


def untested(cuts):
    """The cuts whose texts are in no test split."""
    reason = "its text is in the test split of another corpus"
    for cut in cuts:
        if hash(text_key(cut.supervisions[0].text)) in tested:
            reports.append({"split": "train", "id": cut.id, "reason": reason})
        else:
            yield cut


for split in SPLITS:
    cuts, report = cuts_of(split), []
    if split == "train":
        cuts = untested(cuts)
    with atomic(snakemake.output[split]) as temporary, CutSet.open_writer(temporary) as writer:
        for cut in tokenize_cuts(cuts, tokenizer, report, config.policy):
            writer.write(cut)
    reports += [{"split": split, **row} for row in report]
with atomic(snakemake.output.rejected) as temporary:
    columns = ["split", "id", "text", "reason", "kept"]
    pd.DataFrame(reports, columns=columns).to_csv(temporary, index=False)
tokenizer.save(snakemake.output.tokenizer)
