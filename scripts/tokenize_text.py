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


said = [(cut.supervisions[0].text, cut.supervisions[0].language) for cut in cuts_of("train")]
base = load_tokenizer(snakemake.input.base) if snakemake.input.base else None
if snakemake.params.tokenizer == "espeak":
    tokenizer = EspeakTokenizer.build(said, base)
else:
    given = [base.symbols, base.languages] if base else []
    tokenizer = VallexTokenizer(config.mend, *given)
    if new := snakemake.params.new_languages:
        tokenizer = tokenizer.grow([pair for pair in said if pair[1] in new])
# Each corpus keeps its own test texts out of its train; here, those of the others as well.
tested = {text_key(cut.supervisions[0].text) for cut in cuts_of("test")}
reports = []
for split in SPLITS:
    cuts = list(cuts_of(split))
    if split == "train":
        leaks = [cut for cut in cuts if text_key(cut.supervisions[0].text) in tested]
        reason = "its text is in the test split of another corpus"
        reports += [{"split": split, "id": cut.id, "reason": reason} for cut in leaks]
        cuts = [cut for cut in cuts if text_key(cut.supervisions[0].text) not in tested]
    cuts, report = tokenize_cuts(CutSet.from_cuts(cuts), tokenizer, config.policy)
    reports += [{"split": split, **row} for row in report]
    with atomic(snakemake.output[split]) as temporary:
        cuts.to_file(temporary)
with atomic(snakemake.output.rejected) as temporary:
    columns = ["split", "id", "text", "reason", "kept"]
    pd.DataFrame(reports, columns=columns).to_csv(temporary, index=False)
tokenizer.save(snakemake.output.tokenizer)
