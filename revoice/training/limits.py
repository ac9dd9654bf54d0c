"""Which cuts an experiment's limits leave, and what to say where they leave none."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from lhotse.cut import Cut

from revoice.config import LimitsConfig, Split
from revoice.files import atomic

log = logging.getLogger(__name__)

COLUMNS = ["split", "id", "seconds", "symbols", "frames", "reason"]
REASONS = {
    "min_seconds": "shorter than {:g} s",
    "max_seconds": "longer than {:g} s",
    "min_frames_per_symbol": "fewer than {:g} frames per text symbol",
    "max_frames_per_symbol": "more than {:g} frames per text symbol",
}


def exclusion_reason(cut: Cut, limits: LimitsConfig) -> str | None:
    """Why a cut is no good for training, or None; without codes, its duration alone counts."""
    beyond = {
        "min_seconds": cut.duration < limits.min_seconds,
        "max_seconds": cut.duration > limits.max_seconds,
    }
    if cut.has_custom("codes"):
        symbols, frames = len(cut.supervisions[0].tokens), cut.codes.shape[0]
        if not symbols and not any(beyond.values()):
            return "no text symbols"
        beyond["min_frames_per_symbol"] = frames < limits.min_frames_per_symbol * symbols
        beyond["max_frames_per_symbol"] = frames > limits.max_frames_per_symbol * symbols
    return next((_reason(key, limits) for key, applies in beyond.items() if applies), None)


def _reason(key: str, limits: LimitsConfig) -> str:
    return REASONS[key].format(getattr(limits, key))


class Fitting:
    """Counts the cuts that limits leave of each split, and lists the others."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.limits = limits
        self.kept: dict[str, int] = {}
        self.excluded: list[dict[str, Any]] = []

    def of(self, cuts: Iterable[Cut], split: Split) -> Iterator[Cut]:
        """Those of the cuts that fit."""
        self.kept.setdefault(split, 0)
        for cut in cuts:
            if reason := exclusion_reason(cut, self.limits):
                self.excluded.append(_row(cut, split, reason))
            else:
                self.kept[split] += 1
                yield cut

    def write(self, path: str | Path) -> None:
        """Write the list as a table: `split`, `id`, `seconds`, `symbols`, `frames`, `reason`."""
        with atomic(path) as temporary:
            pd.DataFrame(self.excluded, columns=COLUMNS).to_csv(temporary, index=False)

    def check(self, experiment: str, validated: bool, table: str | Path) -> None:
        """That there are cuts to train on, and to validate on where that is wanted.

        Raises ValueError where there are none; then `table` has the list of those left out.
        """
        where = f"experiments.{experiment}"
        for split in ("train", "dev") if validated else ("train",):
            if not self.kept[split]:
                self.write(table)
                listed = f" They are listed in {table}." if self.excluded else ""
                raise ValueError(self._complaint(where, split) + listed)
        for split, count in self.kept.items():
            log.info("%s: %d cuts", split, count)
        if not self.kept["test"]:
            log.warning("%s: no cut is left in test, and so there is nothing to speak", where)

    def _complaint(self, where: str, split: str) -> str:
        reasons = pd.Series([row["reason"] for row in self.excluded if row["split"] == split])
        if reasons.empty:
            total = sum(self.kept.values()) + len(self.excluded)
            return (
                f"{where}: no cut is in {split}, of {total} in all. Two texts are needed for train "
                "and dev, three for test as well. `split: {dev: 0}` trains without validation."
            )
        commonest, count = next(iter(reasons.value_counts().items()))
        of = f"{count} of {len(reasons)} cuts"
        for key in REASONS:
            if commonest == _reason(key, self.limits):
                limit = f"{where}.limits.{key} = {getattr(self.limits, key):g}"
                verb = "are" if key.endswith("seconds") else "have"
                return f"no cut is left in {split}. {limit}: {of} {verb} {commonest}."
        return f"{where}: no cut is left in {split}. {of}: {commonest}."


def _row(cut: Cut, split: str, reason: str) -> dict[str, Any]:
    row = {"split": split, "id": cut.id, "seconds": round(cut.duration, 3), "reason": reason}
    if cut.has_custom("codes"):
        row |= {"symbols": len(cut.supervisions[0].tokens), "frames": cut.codes.shape[0]}
    return row
