"""LibriTTS's subsets by their name, and by the outdated one."""

import logging

import pytest

from revoice.config import CorpusConfig
from revoice.config_file import load_config

LIBRITTS = {"kind": "libritts", "path": "LibriTTS"}


def test_the_outdated_key_is_understood_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        new = CorpusConfig.model_validate({**LIBRITTS, "subsets": ["dev-clean"]})
        assert not caplog.records
        assert CorpusConfig.model_validate({**LIBRITTS, "parts": ["dev-clean"]}) == new
    assert new.subsets == ["dev-clean"]
    (record,) = caplog.records
    assert record.getMessage() == "a corpus's `parts` is outdated: call it `subsets`"


def test_both_keys() -> None:
    values = {"corpora": {"big": {**LIBRITTS, "parts": [], "subsets": []}}}
    with pytest.raises(
        ValueError, match=r"corpora\.big: `parts` is the outdated name of `subsets`"
    ):
        load_config(values)


def test_faults_of_the_outdated_key_are_named() -> None:
    values = {"corpora": {"big": {**LIBRITTS, "parts": 3}}}
    with pytest.raises(ValueError, match=r"corpora\.big\.subsets = 3"):
        load_config(values)
