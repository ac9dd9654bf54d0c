"""What a synthetic corpus says of itself: models, licences, minutes, and what was left out."""

import tomllib

import pandas as pd

from revoice.files import PACKAGE
from revoice.synthetic.packages import read_pins
from revoice.synthetic.plan import SOURCES, TEMPLATES
from revoice.synthetic.record import CARRIED, MODELS, OWN_LICENCE, describe
from revoice.synthetic.voices import implausible

READ = [
    ("heart/0000/000", 90.0, None),
    ("heart/0000/001", 0.1, implausible(0.1, "Yes.")),
    ("heart/0000/002", 30.0, None),
    ("am_puck/0000/000", 15.0, None),
    ("am_puck/0000/001", 2.0, "misheard, 2 of 3 words: alpha, beta"),
    ("am_puck/0000/002", 2.0, "misheard, 3 of 3 words: "),
    ("am_puck/0000/003", 9.0, implausible(9, "A word.")),
]
PACKAGES = [p._asdict() for group in ("texts", "kokoro", "hibari") for p in read_pins(group)]
SENTENCES = {"austen": 4, "bible": 2, TEMPLATES: 3}


def test_voices_sources_and_totals() -> None:
    utterances = pd.DataFrame(READ, columns=["path", "duration", "reason"])
    sources = {"sentences": SENTENCES, "packages": PACKAGES}
    record = describe(["heart", "am_puck", "af_bella+am_puck", "heart@1.2"], utterances, sources)
    lasting = "too short or too long"
    assert record["total"] == {
        "minutes": 2.25,
        "utterances": 3,
        "left_out": {"misheard": 2, lasting: 2},
        "chosen": 9,
    }
    licensed = {"licence": "Apache-2.0"}
    assert record["voices"] == {
        "heart": {"model": "hibari", "minutes": 2.0, "utterances": 2, "left_out": {lasting: 1}}
        | licensed,
        "am_puck": {
            "model": "Kokoro-82M",
            "minutes": 0.25,
            "utterances": 1,
            "left_out": {"misheard": 2, lasting: 1},
        }
        | licensed,
        "af_bella+am_puck": {
            "model": "Kokoro-82M",
            "minutes": 0.0,
            "utterances": 0,
            "left_out": {},
        }
        | licensed,
        "heart@1.2": {"model": "hibari", "minutes": 0.0, "utterances": 0, "left_out": {}}
        | licensed,
    }
    assert "synthetic speech of closed systems" in record["models"]["Kokoro-82M"]["trained_on"]
    assert record["sentences"]["bible"] == {
        "chosen": 2,
        "package": "sword-text-web",
        "licence": "public domain",
    }
    assert record["sentences"][TEMPLATES]["package"] is None


def test_all_that_is_left_out_is_counted() -> None:
    utterances = pd.DataFrame({"path": ["heart/0000/000"], "duration": [1.0], "reason": ["burnt"]})
    total = describe(["heart"], utterances, {"sentences": {}, "packages": PACKAGES})["total"]
    assert total["left_out"] == {"other": 1}


def test_every_source_and_every_package_is_accounted_for() -> None:
    assert set(CARRIED) == set(SOURCES)
    assert set(CARRIED.values()) == {package.name for package in read_pins("texts")}
    assert MODELS["Kokoro-82M"]["packages"] == [package.name for package in read_pins("kokoro")]
    assert MODELS["hibari"]["packages"] == [package.name for package in read_pins("hibari")]
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["license"] == OWN_LICENCE
