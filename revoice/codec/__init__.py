"""Audio to codes and back, and what codes, models and tables say of the codec that they are of.

This module imports no codec: see `revoice.codec.files`.
"""

import logging
from collections.abc import Mapping
from typing import Any

from revoice.codec.identity import FIELDS

log = logging.getLogger(__name__)


def check_codec(codec: Mapping[str, Any], meta: Mapping[str, Any], what: str) -> None:
    """Raise ValueError where a model was trained on codes of another codec than this one.

    A model of an earlier version, which does not name its codec, is accepted with a warning.

    Args:
        codec: a codec.json, or an identity.
        meta: the model's JSON; under "codec" it has the identity of its training's codec.
        what: the model, e.g. its file; messages begin with it.
    """
    stored = meta.get("codec")
    if not stored:
        text = "%s, of an earlier version, does not name its codec; it is taken for %s"
        log.warning(text, what, in_words(codec))
    elif codec.get("like") == stored.get("sha256") is not None:
        log.info("%s: its codec %s was moved to other speech", what, in_words(stored))
    elif different := differences(codec, stored):
        mend = "Use the codec.json and codec.safetensors that lie with the model"
        if "name" in different:
            mend = f"Set `codec:` of this experiment to one of kind {stored['name']}"
        raise ValueError(
            f"{what}: the model was trained with the codec {in_words(stored)}, but it is to be "
            f"used with {in_words(codec)}: the same code would mean another sound. "
            f"{mend}, or train from scratch."
        )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields in which two identities differ, of those that both name."""
    pairs = {field: (one.get(field), other.get(field)) for field in FIELDS}
    return [field for field, (a, b) in pairs.items() if None not in (a, b) and a != b]


def in_words(codec: Mapping[str, Any]) -> str:
    """A codec for messages, with the reason why it was chosen where that is known."""
    known = [f"{field} {str(codec[field])[:12]}" for field in FIELDS[1:] if codec.get(field)]
    told = "; ".join(filter(None, [", ".join(known), codec.get("reason")]))
    return f"{codec.get('name')} ({told})" if told else str(codec.get("name"))
