"""The chapters of a text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from revoice.workflow.spoken import chapters


def of(*texts: str) -> dict[str, str]:
    config: Any = SimpleNamespace(speak={"book": SimpleNamespace(texts=list(texts))})
    return chapters(config, "book")


def test_in_the_order_of_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("chapter 1", "chapter 2", "chapter 10", "an end"):
        Path(f"{name}.txt").touch()
    assert list(of("ch*.txt", "a*.txt")) == ["chapter_1", "chapter_2", "chapter_10", "an_end"]
    assert of("later/preface.txt") == {"preface": "later/preface.txt"}, "another rule may make it"
    assert of("none*.txt") == {}
    with pytest.raises(ValueError, match=r"a/x.txt and b/x.txt would both be chapter x"):
        of("a/x.txt", "b/x.txt")
