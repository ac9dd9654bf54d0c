"""Which segments are left out, and for what."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from revoice.config_recordings import QualityConfig
from revoice.recordings.judge import hours, judge, letters, whisper_code

GOOD: dict[str, Any] = {
    "begin": 1.0,
    "end": 4.0,
    "language": "en",
    "text": "Good morning.",
    "status": "",
    "confidence": 0.9,
    "matched": np.nan,
    "found": "en",
    "sureness": 0.99,
    "rate": 12.0,
    "dnsmos": 3.1,
    "snr": 30.0,
    "clipping": 0.0,
    "bandwidth": 11000,
}
LEFT_OUT = {
    "words": ({"text": " ..."}, "no words"),
    "language": ({"found": "fr"}, "is in fr (0.99), not in en"),
    "confidence": ({"confidence": 0.41}, "confidence 0.41, recordings.quality.confidence is 0.6"),
    "matched": ({"matched": 0.2}, "matched 0.2, recordings.quality.matched is 0.5"),
    "rate": ({"rate": 31.0}, "31 letters a second, recordings.quality.rate is [6, 25]"),
    "dnsmos": ({"dnsmos": 2.1}, "dnsmos 2.1, recordings.quality.dnsmos is 2.6"),
    "snr": ({"snr": 6.0}, "snr 6, recordings.quality.snr is 15"),
    "clipping": ({"clipping": 0.2}, "clipping 0.2, recordings.quality.clipping is 0.005"),
    "bad": ({"status": "bad"}, "labels.tsv"),
    "replaced": ({"status": "replaced"}, "labels.tsv has another segment"),
    "labels": ({"end": 1.05}, "beyond the end of the recording"),
}
OF_TEXT = {"language", "confidence", "matched", "rate"}  # what proofreading settles


def test_a_good_segment_is_kept() -> None:
    assert judge(GOOD, QualityConfig(), "en-us") == ("", "")


@pytest.mark.parametrize("criterion", LEFT_OUT)
def test_what_is_held_against_one(criterion: str) -> None:
    changed, reason = LEFT_OUT[criterion]
    found = judge(GOOD | changed, QualityConfig(), "en")
    assert found[0] == criterion
    assert reason in found[1]


@pytest.mark.parametrize("criterion", LEFT_OUT)
def test_a_text_that_was_proofread_is_right(criterion: str) -> None:
    if criterion in OF_TEXT:
        row = GOOD | LEFT_OUT[criterion][0] | {"status": "ok"}
        assert judge(row, QualityConfig(), "en") == ("", "")


@pytest.mark.parametrize("criterion", ["confidence", "rate", "dnsmos", "snr", "clipping"])
def test_null_leaves_a_measure_out(criterion: str) -> None:
    quality = QualityConfig.model_validate({criterion: None})
    assert judge(GOOD | LEFT_OUT[criterion][0], quality, "en") == ("", "")


def test_what_was_not_measured_is_not_held_against_one() -> None:
    row = {key: GOOD[key] for key in ("begin", "end", "text", "language", "status")}
    assert judge(row, QualityConfig(), "en") == ("", "")


@pytest.mark.parametrize("language", ["en", "en-us", "en_GB", "EN"])
def test_languages_as_whisper_calls_them(language: str) -> None:
    assert judge(GOOD, QualityConfig(), language) == ("", "")
    assert whisper_code("cmn") == "zh"
    assert whisper_code("nb") == "no"


def test_another_language_has_to_be_sure() -> None:
    assert judge(GOOD | {"found": "cy", "sureness": 0.5}, QualityConfig(), "en") == ("", "")


def test_where_languages_are_found_they_have_to_be_clear() -> None:
    assert judge(GOOD | {"found": "fr"}, QualityConfig(), None) == ("", "")
    criterion, reason = judge(GOOD | {"sureness": 0.3}, QualityConfig(), None)
    assert (criterion, reason) == ("language", "its language is not clear: en, 0.30")


def test_letters_of_scripts() -> None:
    assert letters("It's 7 o'clock!") == 10
    assert letters("你好。") == 6
    assert letters("さくら") == 6


def test_hours_by_criterion() -> None:
    table = pd.DataFrame(
        {
            "begin": [0.0, 60, 120, 240],
            "end": [60.0, 120, 240, 270],
            "criterion": ["", "snr", "dnsmos", "snr"],
        }
    )
    found = hours(table)
    assert list(found.itertuples(index=False, name=None)) == [
        ("kept", 1, 1.0),
        ("dnsmos", 1, 2.0),
        ("snr", 2, 1.5),
    ]
    assert hours(table.iloc[1:]).iloc[0].tolist() == ["kept", 0, 0.0]
