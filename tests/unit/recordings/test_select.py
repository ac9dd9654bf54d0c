"""All that is known of segments, in the end with what people say of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lhotse import Recording, SupervisionSegment
from lhotse.audio import AudioSource

from revoice.config import CorpusConfig
from revoice.config_recordings import QualityConfig
from revoice.recordings.cuts import cut_of
from revoice.recordings.labels import Label
from revoice.recordings.select import judged, kept_cuts, proofread, rows_of, uncovered

PATH = "shows/talk.mp3"
TALK = Recording(
    id="mine-shows-talk",
    sources=[AudioSource("file", [0], "results/corpora/mine/audio/s/mine-shows-talk.wav")],
    sampling_rate=24000,
    num_samples=60 * 24000,
    duration=60.0,
)
CORPUS = CorpusConfig(kind="recordings", path="recordings")
SPANS = [(0.0, 4.0), (5.0, 9.0), (10.0, 14.0)]


def rows(speakers: dict[str, str] | None = None, **corpus: Any) -> list[dict[str, Any]]:
    cuts = [cut_of(TALK, *span, "mine/s") for span in SPANS]
    heard = [
        SupervisionSegment(
            cut.id,
            TALK.id,
            cut.start,
            cut.duration,
            text=f"Sentence number {i}.",
            language="en",
            custom={"source": "recognised", "confidence": 0.9, "found": "en", "sureness": 0.99},
        )
        for i, cut in enumerate(cuts)
    ]
    quality = pd.DataFrame(
        {
            "id": [cut.id for cut in cuts],
            "dnsmos": [3.0, 2.0, 3.0],
            "snr": 30.0,
            "clipping": 0.0,
            "bandwidth": 9000,
        }
    )
    config = CorpusConfig(kind="recordings", path="recordings", **corpus)
    return list(rows_of(cuts, heard, quality, speakers or {}, {TALK.id: PATH}, config))


def test_a_row_says_all_that_is_known() -> None:
    row = rows(speaker="me")[0]
    assert row["id"] == "mine-shows-talk-0000000-0000400"
    assert (row["recording"], row["begin"], row["end"]) == (PATH, 0.0, 4.0)
    assert (row["speaker"], row["language"], row["rate"]) == ("me", "en", 3.75)
    assert (row["dnsmos"], row["confidence"], row["status"]) == (3.0, 0.9, "")


@pytest.mark.parametrize(
    ("corpus", "speaker"),
    [
        ({}, "shows"),
        ({"speaker": "folder"}, "shows"),
        ({"speaker": "auto"}, "speaker-2"),
        ({"speaker": "Ann"}, "Ann"),
    ],
)
def test_who_speaks(corpus: dict[str, Any], speaker: str) -> None:
    first = "mine-shows-talk-0000000-0000400"
    told = {first: "speaker-2"} if corpus.get("speaker") == "auto" else {}
    assert rows(told, **corpus)[0]["speaker"] == speaker


def test_a_text_that_was_mended() -> None:
    label = Label(PATH, 5.0, 9.0, "ok", "", "What was really said.")
    found = proofread(rows(), [label], TALK, CORPUS)
    assert [row["text"] for row in found][1] == "What was really said."
    assert (found[1]["status"], found[1]["dnsmos"], found[1]["speaker"]) == ("ok", 2.0, "shows")
    assert found[1]["rate"] == 4.25
    assert len(found) == 3


def test_one_that_is_bad_and_one_of_somebody_else() -> None:
    labels = [
        Label(PATH, 0.0, 4.0, "bad", "", ""),
        Label(PATH, 10.0, 14.0, "ok", "Bob", "Sentence number 2."),
    ]
    found = proofread(rows(), labels, TALK, CORPUS)
    assert [row["status"] for row in found] == ["bad", "", "ok"]
    assert found[0]["text"] == "Sentence number 0."
    assert found[2]["speaker"] == "Bob"


def test_a_segment_keeps_its_times_when_segmentation_changes() -> None:
    label = Label(PATH, 3.0, 8.0, "ok", "", "Across two of them.")
    found = proofread(rows(), [label], TALK, CORPUS)
    assert [row["status"] for row in found] == ["replaced", "ok", "replaced", ""]
    assert (found[1]["begin"], found[1]["end"]) == (3.0, 8.0)
    assert found[1]["id"] == "mine-shows-talk-0000300-0000800"
    assert found[1]["dnsmos"] is None
    assert (found[1]["speaker"], found[1]["language"]) == ("shows", "en")


def test_a_label_where_nothing_was_found() -> None:
    label = Label(PATH, 50.0, 70.0, "ok", "", "Beyond the end, too.")
    found = proofread([], [label], TALK, CORPUS)
    assert (found[0]["begin"], found[0]["end"]) == (50.0, 60.0)
    assert (found[0]["speaker"], found[0]["language"]) == ("shows", "en")


@pytest.mark.parametrize(
    ("label", "criterion"),
    [
        (Label(PATH, 70.0, 80.0, "ok", "", "Far beyond."), "labels"),
        (Label(PATH, 59.96, 65.0, "ok", "", "Nearly all beyond."), "labels"),
        (Label(PATH, 20.0, 25.0, "bad", "", ""), "bad"),
        (Label(PATH, 20.0, 25.0, "ok", "", "A new one."), ""),
    ],
)
def test_labels_that_nothing_was_found_for(label: Label, criterion: str) -> None:
    known = judged(proofread([], [label], TALK, CORPUS), QualityConfig(), "en")
    assert [row["criterion"] for row in known] == [criterion]
    assert len(list(kept_cuts(known, {PATH: TALK}, "mine/s"))) == (criterion == "")


def test_where_languages_are_found_a_label_alone_has_none() -> None:
    corpus = CorpusConfig(kind="recordings", path="recordings", languages=["auto"])
    label = Label(PATH, 20.0, 25.0, "ok", "", "Que dit-on ?")
    (row,) = judged(proofread([], [label], TALK, corpus), QualityConfig(), None)
    assert row["criterion"] == "language"


def test_times_in_milliseconds_are_those_of_the_cut() -> None:
    """Of 4.055 and 0.125 two ways to round make two numbers."""
    for begin, end in [(4.055, 7.505), (0.125, 3.005), (10.004, 14.996)]:
        label = Label(PATH, begin, end, "ok", "", "In milliseconds.")
        rows_ = judged(proofread([], [label], TALK, CORPUS), QualityConfig(), "en")
        (cut,) = kept_cuts(rows_, {PATH: TALK}, "mine/s")
        assert (cut.id, cut.start) == (rows_[0]["id"], rows_[0]["begin"])
        assert cut.end == pytest.approx(rows_[0]["end"])


def test_labels_beside_one_another_stay() -> None:
    labels = [
        Label(PATH, 9.0, 10.05, "ok", "", "The first of them."),
        Label(PATH, 10.0, 12.0, "ok", "", "And the second."),
    ]
    found = proofread(rows(), labels, TALK, CORPUS)
    assert [row["text"] for row in found if row["status"] == "ok"] == [one.text for one in labels]


def test_what_people_made_a_segment_of_is_not_left_out() -> None:
    left = pd.DataFrame({"recording": [PATH, PATH], "begin": [0.0, 30.0], "end": [4.0, 60.0]})
    given = proofread([], [Label(PATH, 40.0, 44.0, "ok", "", "Here.")], TALK, CORPUS)
    assert uncovered(left, given)["begin"].tolist() == [0.0]


def test_cuts_of_those_that_are_kept() -> None:
    known = judged(rows(speaker="me"), QualityConfig(rate=[1, 25]), "en")
    assert [row["criterion"] for row in known] == ["", "dnsmos", ""]
    cuts = list(kept_cuts(known, {PATH: TALK}, "mine/s"))
    assert [cut.start for cut in cuts] == [0.0, 10.0]
    said = cuts[1].supervisions[0]
    assert (said.text, said.speaker, said.language) == ("Sentence number 2.", "me", "en")
    assert (said.start, said.duration) == (0.0, 4.0)
    assert cuts[0].shard == "mine/s"


def test_a_segment_ends_with_its_recording() -> None:
    cut = cut_of(TALK, 57.004, 60.02, "mine/s")
    assert (cut.start, cut.end) == (57.0, 60.0)
    assert Path(cut.recording.sources[0].source).name == "mine-shows-talk.wav"
