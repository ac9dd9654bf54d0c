"""Which cuts limits leave, and what is said where none is left."""

from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
from lhotse import CutSet

from revoice.config import LimitsConfig, Split
from revoice.training.limits import COLUMNS, Fitting, exclusion_reason
from tests.helpers.synthetic import write_cuts


@pytest.fixture
def cuts(tmp_path: Path) -> list[Any]:
    return list(CutSet.from_jsonl_lazy(write_cuts(tmp_path, 3)))


def test_exclusion_gives_a_reason(cuts: list[Any]) -> None:
    cut = cuts[0]
    cases = {
        "shorter than 9 s": {"min_seconds": 9},
        "longer than 0.1 s": {"max_seconds": 0.1, "min_seconds": 0},
        "fewer than 6 frames per text symbol": {"min_frames_per_symbol": 6},
        "more than 4 frames per text symbol": {"max_frames_per_symbol": 4},
    }
    assert exclusion_reason(cut, LimitsConfig(min_seconds=0)) is None
    for reason, values in cases.items():
        limits = LimitsConfig(**({"min_seconds": 0} | values))
        assert exclusion_reason(cut, limits) == reason
        if "frames" in reason:  # which nobody knows of what is not encoded
            silent = deepcopy(cut)
            del silent.custom["codes"]
            assert exclusion_reason(silent, limits) is None
    cut.supervisions[0].custom["tokens"] = []
    assert exclusion_reason(cut, LimitsConfig(min_seconds=0)) == "no text symbols"


def fitted(cuts: list[Any], splits: dict[str, int], **limits: float) -> Fitting:
    """After so many cuts of each split."""
    fitting = Fitting(LimitsConfig(**{"min_seconds": 0, **limits}))
    for split in get_args(Split):
        given = cuts[: splits.get(split, 0)]
        assert list(fitting.of(given, split)) == given or limits
    return fitting


def test_what_is_left_is_counted_and_the_rest_listed(cuts: list[Any], tmp_path: Path) -> None:
    longest = max(cut.duration for cut in cuts)
    fitting = fitted(cuts, {"train": 3, "dev": 3, "test": 1}, max_seconds=longest - 0.01)
    fitting.write(tmp_path / "excluded.csv")
    table = pd.read_csv(tmp_path / "excluded.csv")
    assert list(table.columns) == COLUMNS
    for split in get_args(Split):
        rows = table[table["split"] == split]
        assert fitting.kept[split] + len(rows) == {"train": 3, "dev": 3, "test": 1}[split]
    longer = next(cut for cut in cuts if cut.duration == longest)
    row = table.set_index("id").loc[longer.id].iloc[0]
    assert row["reason"] == f"longer than {longest - 0.01:g} s"
    assert (row["frames"], row["symbols"]) == (
        longer.codes.shape[0],
        len(longer.supervisions[0].tokens),
    )
    assert row["seconds"] == pytest.approx(longest, abs=1e-3)


def test_the_commonest_reason_and_its_key(cuts: list[Any], tmp_path: Path) -> None:
    fitting = fitted(cuts, {"train": 3, "dev": 2, "test": 1}, max_seconds=0.02)
    table = tmp_path / "excluded.csv"
    with pytest.raises(ValueError, match="no cut is left in train") as error:
        fitting.check("demo", True, table)
    assert "experiments.demo.limits.max_seconds = 0.02: 3 of 3 cuts are longer" in str(error.value)
    assert str(table) in str(error.value)
    assert len(pd.read_csv(table)) == 6
    fitting = fitted(cuts, {"train": 3, "dev": 2, "test": 1}, min_frames_per_symbol=99)
    with pytest.raises(ValueError, match=r"min_frames_per_symbol = 99: 3 of 3 cuts have fewer"):
        fitting.check("demo", True, table)


def test_too_few_for_a_split(
    cuts: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fitting, table = fitted(cuts, {"train": 1}), tmp_path / "excluded.csv"
    with pytest.raises(ValueError, match=r"no cut is in dev, of 1 in all") as error:
        fitting.check("demo", True, table)
    assert "`split: {dev: 0}` trains without validation" in str(error.value)
    assert "listed" not in str(error.value)
    fitting.check("demo", False, table)
    assert "no cut is left in test, and so there is nothing to speak" in caplog.text
    assert "listed" not in caplog.text
    with pytest.raises(ValueError, match="no cut is in train, of 0 in all"):
        fitted(cuts, {}).check("demo", False, table)
