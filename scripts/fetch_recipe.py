"""A public corpus, fetched by its Lhotse recipe."""

import shutil
from pathlib import Path

from lhotse.recipes import download_libritts, download_ljspeech
from revoice.config import CorpusConfig
from revoice.files import write_json
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
corpus = CorpusConfig(**snakemake.params.corpus)
target = Path(corpus.path)
# Its folder appears when it is whole: half a corpus would be taken for all of it.
partial = target.with_name(f"{target.name}.part")
try:
    if corpus.kind == "libritts":
        found = download_libritts(partial, dataset_parts=corpus.subsets or "all") / "LibriTTS"
    else:
        found = download_ljspeech(partial)
except OSError as error:
    raise OSError(
        f"{corpus.kind} could not be fetched ({error}). Unpack it by hand, so that {target} is its "
        "top folder, and run again."
    ) from None
found.rename(target)
shutil.rmtree(partial)
write_json(
    snakemake.output[0], {"kind": corpus.kind, "path": corpus.path, "subsets": corpus.subsets}
)
