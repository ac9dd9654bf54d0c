"""A dict that lies on disk."""

from pathlib import Path

import pytest

from revoice.corpus.ondisk import OnDisk


def test_values_come_back_in_the_order_of_their_keys(tmp_path: Path) -> None:
    values = {
        "b": [1, 2.5, None, True],
        "é": "\0 and \u2028",
        "a/'\"": "x",
        "\U0001f600": 0.1,
        "B": {},
    }
    with OnDisk(tmp_path / "a ?#%.kept") as kept:
        for key, value in values.items():
            kept[key] = value
        kept["b"] = values["b"]
        assert list(kept.items()) == [(key, values[key]) for key in sorted(values)]
        assert kept["é"] == values["é"]
        with pytest.raises(KeyError, match="c"):
            kept["c"]
