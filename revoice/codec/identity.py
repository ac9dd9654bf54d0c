"""What codes, models and tables store of a codec: name, sha256, frame_rate, num_quantizers, bins.

Codes of two codecs that differ in any of them mean other sounds.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIELDS = ("name", "sha256", "frame_rate", "num_quantizers", "bins")


def identity(description: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of a codec, from its codec.json."""
    return {field: description[field] for field in FIELDS}


def codec_of_codes(path: str | Path) -> dict[str, Any] | None:
    """The identity of the codec whose codes a file holds; None for one of an earlier version."""
    import h5py  # not for who reads identities alone, as every parse of the Snakefile does

    with h5py.File(path, "r") as file:
        return json.loads(file.attrs.get("codec", "null"))
