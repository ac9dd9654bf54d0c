"""Audio to codes and back, and what codes, models and tables say of the codec that they are of.

A codec's identity is `{name, sha256, frame_rate, num_quantizers, bins}`: codes of two codecs that
differ in any of them mean other sounds. This module imports no codec: see `revoice.codec.files`.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

log = logging.getLogger(__name__)

FIELDS = ("name", "sha256", "frame_rate", "num_quantizers", "bins")


def identity(description: Mapping[str, Any]) -> dict[str, Any]:
    """What codes, models and tables store of a codec, from its codec.json."""
    return {field: description[field] for field in FIELDS}


def check_codec(codec: Mapping[str, Any], meta: Mapping[str, Any], what: str) -> None:
    """Raise ValueError where a model was trained on codes of another codec than this one.

    A model of an earlier version, which does not name its codec, is accepted with a warning.

    Args:
        codec: a codec.json, or an identity.
        meta: the model's JSON; under "codec" it has the identity of its training's codec.
        what: the model, e.g. its file; messages begin with it.
    """
    stored = meta.get("codec")
    if stored is None:
        text = "%s, of an earlier version, does not name its codec; it is taken for %s"
        log.warning(text, what, in_words(codec))
    elif different := differences(codec, stored):
        mend = "Use the codec.json and codec.safetensors that lie with the model"
        if "name" in different:
            mend = f"Set `codec:` of this experiment to one of kind {stored['name']}"
        raise ValueError(
            f"{what}: the model was trained with the codec {in_words(stored)}, but it is to be "
            f"used with {in_words(codec)}: the same code would mean another sound. "
            f"{mend}, or train from scratch."
        )


def codec_of_codes(path: str | Path) -> dict[str, Any] | None:
    """The identity of the codec whose codes a file holds; None for one of an earlier version."""
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs.get("codec", "null"))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields in which two identities differ, of those that both name."""
    pairs = {field: (one.get(field), other.get(field)) for field in FIELDS}
    return [field for field, (a, b) in pairs.items() if None not in (a, b) and a != b]


def in_words(codec: Mapping[str, Any]) -> str:
    """A codec for messages, with the reason why it was chosen where that is known."""
    known = [f"{field} {str(codec[field])[:12]}" for field in FIELDS[1:] if codec.get(field)]
    reason = f"; {codec['reason']}" if codec.get("reason") else ""
    return f"{codec.get('name')} ({', '.join(known)}{reason})"
