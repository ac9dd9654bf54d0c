"""Where corpora lie, and what is known of them before they are fetched."""

import re
from pathlib import Path
from typing import get_args

import pytest

from revoice.config import CorpusConfig
from revoice.corpus.naming import corpus_root, is_known, read_shard, records
from revoice.corpus.transcripts import READERS

KINDS = get_args(CorpusConfig.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "absent" / "here"
    voices = {"voices": {"heart": 1}} if kind == "synthetic" else {}
    corpus = CorpusConfig.model_validate({"kind": kind, "path": str(path), **voices})
    parent = path.parent
    roots = {"asterisk": Path("data/asterisk"), "table": parent, "synthetic": parent}
    assert corpus_root(corpus) == roots.get(kind, path)
    assert is_known(corpus) == (kind not in {"libritts", "ljspeech"})
    assert records(corpus) == (["data/asterisk/en.json"] if kind == "asterisk" else [])
    path.mkdir(parents=True)
    assert is_known(corpus)
    assert kind in READERS or kind == "recordings"  # which has rules of its own


def test_a_list_that_is_gone_says_how_it_is_written_again(tmp_path: Path) -> None:
    mend = re.escape(f"`snakemake --force {tmp_path}/index.json`")
    with pytest.raises(FileNotFoundError, match=rf"shards/s01\.tsv is gone: {mend} writes it"):
        read_shard(tmp_path / "shards/s01.tsv")
