"""The base voice, ready to speak."""

from pathlib import Path

import pytest

from revoice.files import RESOURCES
from revoice.speaking.talker import Talker

BASE = RESOURCES / "base"


@pytest.fixture(scope="session")
def base() -> Path:
    return BASE


@pytest.fixture(scope="session")
def talker() -> Talker:
    """Quick, and the same each time."""
    return Talker.load(BASE, "cpu", {"best_of": 1, "weights": "fp32", "batch": 4})
