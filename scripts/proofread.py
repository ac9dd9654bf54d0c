"""A page to listen to the segments of a corpus and mend what was heard in them."""

from pathlib import Path

from revoice.recordings.manifests import read_segments
from revoice.recordings.page import write_labels_page
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
page = Path(snakemake.output.page)
segments = read_segments(snakemake.input.segments)
# results/corpora/{corpus}/audio/…, as seen from the page
segments["audio"] = [
    Path(audio).relative_to(page.parent).as_posix() if audio else "" for audio in segments["audio"]
]
segments["status"] = segments["status"].where(segments["status"].isin(["ok", "bad"]), "")
write_labels_page(segments, snakemake.wildcards.corpus, page)
