"""How a model speaks, as options of a command line: keys of the configuration's `synthesis`."""

import argparse
from typing import Any

from revoice.config import SynthesisConfig

KEYS = "top_k top_p temperature best_of batch weights decoder nar prompted".split()
KEYS += "window repetition end_bias loop_seconds".split()


def add_synthesis(group: Any) -> None:
    """Let a model's own be replaced; `group`: of an argparse parser, or one itself."""
    for key in KEYS:
        about = SynthesisConfig.model_fields[key].description
        group.add_argument(f"--{key.replace('_', '-')}", metavar="VALUE", help=about)


def given_synthesis(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of it, for `Talker.load`, which checks it."""
    values = {key: getattr(options, key, None) for key in KEYS}
    return {key: value for key, value in values.items() if value is not None}
