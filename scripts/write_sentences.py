"""What each voice of a synthetic corpus reads, and where the sentences come from."""

from pathlib import Path

import pandas as pd
from lhotse import CutSet
from revoice.config import CorpusConfig
from revoice.files import atomic, write_json
from revoice.synthetic.packages import fetch, read_pins
from revoice.synthetic.plan import HeldOut, plan
from revoice.synthetic.texts import read_sentences
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
corpus = CorpusConfig(**snakemake.params.corpus)
held_out = HeldOut(
    (c.supervisions[0].text for path in snakemake.input.cuts for c in CutSet.from_jsonl_lazy(path)),
    (line for path in snakemake.input.files for line in Path(path).read_text("utf-8").splitlines()),
)
lines = pd.DataFrame(plan(corpus, read_sentences(fetch("texts")), held_out))
with atomic(snakemake.output.sentences) as temporary:
    lines.to_csv(temporary, index=False)
sources = [pin._asdict() for group in ("texts", "kokoro", "hibari") for pin in read_pins(group)]
counts = lines.groupby("source").size().to_dict()
write_json(snakemake.output.record, {"sentences": counts, "packages": sources})
