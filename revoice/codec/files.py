"""codec.json and the codec that it describes: EnCodec, or WORLD where its weights cannot be had.

Both codecs have `encode(samples) -> codes`, `decode(codes) -> samples`, `sample_rate` (Hz),
`hop` (samples in a frame), `frame_rate` (frames a second), `num_quantizers`, `bins` and, where they
were loaded, `identity`. samples: (N,) float32 mono in [-1, 1]; codes: (frames, num_quantizers)
int16.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from revoice.codec.encodec import EncodecCodec
from revoice.codec.identity import identity
from revoice.codec.world import WorldCodec
from revoice.devices import best_device
from revoice.files import read_json, sha256, write_json

Codec = EncodecCodec | WorldCodec
KINDS: dict[str, type[Codec]] = {"encodec_24khz": EncodecCodec, "world": WorldCodec}
GEOMETRY = ("sample_rate", "frame_rate", "num_quantizers", "bins")


def load_codec(path: str | Path, device: str = "cpu") -> Codec:
    """The codec that codec.json describes, with the weights that it names.

    `device` is "cpu", "cuda" or "auto"; WORLD always computes on the CPU. Raises ValueError where
    the weights are not the ones that codec.json was written for, or are of another version.
    """
    description = read_json(path)
    check_geometry(description, path)
    weights = Path(path).parent / description["weights"]
    digest = sha256(weights)
    if digest != description["sha256"]:
        raise ValueError(
            f"{weights} has the SHA-256 {digest}, but {path} is for {description['sha256']}. "
            "Remove both, and run the workflow again."
        )
    device = best_device() if device == "auto" else device
    device = "cpu" if device == "mps" else device  # codes are the same everywhere
    codec = KINDS[description["name"]].load(weights, device)
    codec.identity = identity(description)
    return codec


def check_geometry(description: Any, path: str | Path) -> None:
    """Raise ValueError where a codec.json is of a codec with another geometry than its kind has.

    Its weights would load, and every code would mean another sound. The same where it describes
    no codec, or one that this version does not have.
    """
    said = description if isinstance(description, Mapping) else {}
    needed = ("name", "weights", "sha256")
    if missing := [key for key in needed if not isinstance(said.get(key), str)]:
        raise ValueError(
            f"{path} does not describe a codec: there is no {', '.join(missing)}. If it lies in "
            "results/codecs/, remove its folder, and run the workflow again."
        )
    if (name := description["name"]) not in KINDS:
        known = " and ".join(KINDS)
        raise ValueError(f"{path}: no codec {name!r} here, but {known}. Bring revoice up to date.")
    kind = KINDS[name]
    different = [key for key in GEOMETRY if description.get(key) != getattr(kind, key)]
    if different:
        then = ", ".join(f"{key} {description.get(key)}" for key in different)
        now = ", ".join(f"{key} {getattr(kind, key)}" for key in different)
        raise ValueError(
            f"{path}: this {name} codec was made by another version of revoice, with {then}; this "
            f"version's has {now}. If it lies in results/codecs/, remove its folder, and run the "
            "workflow again; a model that was trained on its codes has to be trained anew."
        )


def describe_codec(path: str | Path, weights: str | Path, choice: dict[str, Any]) -> None:
    """Write codec.json at `path`: the choice with its reason, the weights, the geometry.

    `weights` lies in the same folder. `describe` is the line for tables, `like`, if it is there,
    the SHA-256 of a codec whose codes mean the same to a model.
    """
    kind = KINDS[choice["name"]]
    digest = sha256(weights)
    codes = f"codes of {kind.num_quantizers} x {kind.bins} at {kind.frame_rate:g} Hz"
    description = {
        "name": choice["name"],
        "reason": choice["reason"],
        "weights": Path(weights).name,
        "sha256": digest,
        **({"like": choice["like"]} if "like" in choice else {}),
        **{key: getattr(kind, key) for key in GEOMETRY},
        "bandwidth": kind.frame_rate * kind.num_quantizers * math.log2(kind.bins) / 1000,  # kbps
        "describe": f"{choice['name']} ({codes}, sha256 {digest[:8]})",
    }
    write_json(path, description)
