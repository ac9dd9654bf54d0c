"""Where corpora lie, and what is known of them before they are fetched."""

from pathlib import Path
from typing import get_args

import pytest

from revoice.config import CorpusConfig
from revoice.corpus.naming import corpus_root, is_known, records
from revoice.corpus.transcripts import _READERS

KINDS = get_args(CorpusConfig.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "absent" / "here"
    corpus = CorpusConfig.model_validate({"kind": kind, "path": str(path)})
    roots = {"asterisk": Path("data/asterisk"), "table": path.parent}
    assert corpus_root(corpus) == roots.get(kind, path)
    assert is_known(corpus) == (kind not in {"libritts", "ljspeech"})
    assert records(corpus) == (["data/asterisk/en.json"] if kind == "asterisk" else [])
    path.mkdir(parents=True)
    assert is_known(corpus)
    assert kind in _READERS
