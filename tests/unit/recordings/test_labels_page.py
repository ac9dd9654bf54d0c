"""The page to proofread on: what it plays, keeps, shows and saves, in a browser."""

import functools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from revoice.recordings.labels import Label, read_labels
from revoice.recordings.page import write_labels_page
from tests.helpers.browser import opened

AUDIO = "a folder/it's #1: 100% ä.wav"
TRICKY = """</script><b>"bold"</b> & it's \u2028 <!-- שלום"""
SHOWN = TRICKY.replace("\u2028", " ")  # the break would end the row of labels.tsv
MEASURED = {"dnsmos": 3.1, "snr": 25.0, "bandwidth": 7900.0, "clipping": 0.0, "rate": 14.2}
SEGMENTS = [
    {"begin": 0.0, "end": 1.25, "text": "One.", "confidence": 0.9}
    | {"status": "ok", "labelled": "anna"},
    {"begin": 2.0, "end": 3.1, "text": "Two.", "confidence": 0.3, "speaker": "bea"},
    {"begin": 4.0, "end": 5.5, "text": TRICKY, "confidence": np.nan, "snr": np.inf},
    {"begin": 6.0, "end": 7.0, "text": "", "confidence": 0.5}
    | {"dnsmos": 2.1, "reason": "dnsmos 2.1 is below 2.6"},
    {"begin": 3.0, "end": 4.0, "text": "Five.", "confidence": 0.7, "recording": "other.mp3"},
]


def table(segments: list[dict[str, Any]] = SEGMENTS) -> pd.DataFrame:
    usual = {"recording": "long one.mp3", "audio": AUDIO, "speaker": "anna", "language": "en"}
    usual |= {"reason": "", "status": "", "labelled": ""}
    return pd.DataFrame([usual | MEASURED | segment for segment in segments])


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of five segments, beside a recording of twelve seconds."""
    audio = tmp_path / AUDIO
    audio.parent.mkdir()
    time = np.arange(24000 * 12) / 24000
    soundfile.write(audio, 0.1 * np.sin(2 * np.pi * 220 * time), 24000)
    write_labels_page(table(), "a corpus", tmp_path / "labels.html")
    return tmp_path / "labels.html"


def row(tab: Any, text: str) -> Any:
    """The row whose text is this."""
    index = tab.evaluate("(text) => rows.findIndex((row) => row.text === text)", text)
    return tab.locator(f'tbody tr[data-index="{index}"]')


def texts(tab: Any) -> list[str]:
    return tab.eval_on_selector_all("tbody textarea", "(all) => all.map((area) => area.value)")


def saved(tab: Any, folder: Path) -> dict[tuple[str, float], Label]:
    """What the button saves, by recording and begin."""
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save labels.tsv").click()
    assert download.value.suggested_filename == "labels.tsv"
    path = folder / "labels.tsv"
    download.value.save_as(path)
    return {(label.recording, label.begin): label for label in read_labels(path)}


def warned(tab: Any) -> bool:
    """Whether the page asks before it is left; it is opened again."""
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    tab.on("dialog", answer)
    tab.reload()
    tab.remove_listener("dialog", answer)
    return asked == ["beforeunload"]


def test_what_was_changed_is_saved_with_what_was_proofread_before(
    page: Path, tmp_path: Path
) -> None:
    with opened(page) as tab:
        row(tab, "Two.").locator("textarea").fill("Zwei\tund\nzwanzig. ")
        row(tab, "").get_by_role("button", name="bad").click()
        row(tab, "Five.").get_by_label("Speaker").fill("carl")
        labels = saved(tab, tmp_path)
        assert not tab.visit.complaints
    assert labels == {
        ("long one.mp3", 0.0): Label("long one.mp3", 0.0, 1.25, "ok", "anna", "One."),
        ("long one.mp3", 2.0): Label("long one.mp3", 2.0, 3.1, "ok", "", "Zwei und zwanzig."),
        ("long one.mp3", 6.0): Label("long one.mp3", 6.0, 7.0, "bad", "", ""),
        ("other.mp3", 3.0): Label("other.mp3", 3.0, 4.0, "ok", "carl", "Five."),
    }


def test_an_ok_without_a_change_is_saved_and_a_mark_can_be_changed(
    page: Path, tmp_path: Path
) -> None:
    with opened(page) as tab:
        row(tab, "Two.").get_by_role("button", name="ok").click()
        row(tab, "One.").get_by_role("button", name="bad").click()
        labels = saved(tab, tmp_path)
    assert {begin: label.status for (_, begin), label in labels.items()} == {0.0: "bad", 2.0: "ok"}


def test_undo_gives_back_what_was_there(page: Path, tmp_path: Path) -> None:
    with opened(page) as tab:
        two = row(tab, "Two.")
        undo = two.get_by_role("button", name="undo")
        assert undo.is_disabled()
        two.locator("textarea").fill("Something else.")
        two.get_by_role("button", name="bad").click()
        two.get_by_label("Speaker").fill("carl")
        undo.click()
        assert two.locator("textarea").input_value() == "Two."
        assert two.get_by_label("Speaker").input_value() == "bea"
        assert two.locator("[aria-pressed=true]").count() == 0
        assert not warned(tab)
        assert list(saved(tab, tmp_path)) == [("long one.mp3", 0.0)]


def test_an_undo_after_saving_has_to_be_saved_again(page: Path, tmp_path: Path) -> None:
    with opened(page) as tab:
        row(tab, "Two.").get_by_role("button", name="ok").click()
        assert len(saved(tab, tmp_path)) == 2
        row(tab, "Two.").get_by_role("button", name="undo").click()
        assert warned(tab)
        assert len(saved(tab, tmp_path)) == 1
        assert not warned(tab)


def test_a_text_that_is_emptied_is_bad(page: Path, tmp_path: Path) -> None:
    with opened(page) as tab:
        two = row(tab, "Two.")
        two.locator("textarea").fill(" ")
        assert two.get_by_role("button", name="ok").is_disabled()
        two.locator("textarea").press("Control+Enter")
        assert "cannot be empty" in tab.locator("#said").inner_text()
        label = saved(tab, tmp_path)["long one.mp3", 2.0]
    assert (label.status, label.text) == ("bad", "")


def test_a_reload_loses_nothing_and_asks_while_something_is_unsaved(
    page: Path, tmp_path: Path
) -> None:
    with opened(page) as tab:
        assert not warned(tab)
        row(tab, "Two.").locator("textarea").fill("Zwei.")
        assert warned(tab)
        assert row(tab, "Two.").locator("textarea").input_value() == "Zwei."
        assert "changed here, not saved" in tab.locator("#state").inner_text()
        saved(tab, tmp_path)
        assert not warned(tab)
        assert row(tab, "Two.").locator("textarea").input_value() == "Zwei."


def test_labels_that_were_read_since_have_the_last_word(page: Path, tmp_path: Path) -> None:
    with opened(page) as tab:
        for text in ("Two.", "Five."):
            row(tab, text).locator("textarea").fill("Saved.")
        saved(tab, tmp_path)
        row(tab, SHOWN).get_by_role("button", name="bad").click()
        read = table()
        read.loc[[1, 4], ["text", "status"]] = [["Saved.", "ok"], ["By hand.", "ok"]]
        write_labels_page(read, "a corpus", page)
        tab.reload()
        assert {"Saved.", "By hand."} < set(texts(tab))
        assert "4 proofread, 1 changed here, not saved" in tab.locator("#state").inner_text()


def test_pages_of_other_corpora_and_segments_keep_apart(page: Path) -> None:
    with opened(page) as tab:
        row(tab, "Two.").locator("textarea").fill("Zwei.")
        write_labels_page(table(), "another corpus", page)
        tab.reload()
        assert "Zwei." not in texts(tab)
        write_labels_page(table(SEGMENTS[:4]), "a corpus", page)
        tab.reload()
        assert "Zwei." not in texts(tab)


def test_rows_are_sorted_by_any_column(page: Path) -> None:
    with opened(page) as tab:
        assert texts(tab) == ["Two.", "", "Five.", "One.", SHOWN], "the least sure first"
        for name, expected in {
            "Confidence": ["One.", "Five.", "", "Two.", SHOWN],
            "Recording": ["One.", "Two.", SHOWN, "", "Five."],
            "Speaker": ["One.", SHOWN, "", "Five.", "Two."],
            "Length": ["", "Five.", "Two.", "One.", SHOWN],
            "DNSMOS": ["", "One.", "Two.", SHOWN, "Five."],
        }.items():
            head = tab.locator("thead").get_by_role("button", name=name)
            head.click()
            assert texts(tab) == expected, name
        assert tab.locator("thead [aria-sort=ascending]").inner_text().startswith("DNSMOS")


def test_numbers_stand_below_what_they_are(page: Path) -> None:
    with opened(page) as tab:
        heads = tab.locator("thead th").all_inner_texts()
        cells = row(tab, "Two.").locator("td").all_inner_texts()
        shown = dict(zip(heads[3:], cells[3:], strict=True))
        missing = row(tab, SHOWN).locator("td").all_inner_texts()
    assert shown == {
        "Confidence ▲": "0.30",
        "DNSMOS": "3.10",
        "SNR": "25\u202fdB",
        "Band": "7.9\u202fkHz",
        "Clipped": "0.00\u202f%",
        "Rate": "14.2/s",
    }
    assert missing[3:6] == ["–", "3.10", "–"]


def test_rows_are_filtered(page: Path) -> None:
    with opened(page) as tab:
        for wanted, expected in {
            "TWO": ["Two."],
            "other.mp3": ["Five."],
            "bea": ["Two."],
            "below 2.6": [""],
            "nothing of that": [],
        }.items():
            tab.get_by_label("Text, recording, speaker or reason").fill(wanted)
            assert texts(tab) == expected, wanted
        tab.get_by_label("Text, recording, speaker or reason").fill("")
        row(tab, "Five.").get_by_role("button", name="ok").click()
        for view, expected in {
            "kept": ["Two.", "Five.", "One.", SHOWN],
            "left out": [""],
            "unproofread": ["Two.", "", SHOWN],
            "changed here": ["Five."],
        }.items():
            tab.locator("#view").select_option(label=view)
            assert texts(tab) == expected, view
        assert tab.locator("#count").inner_text() == "1 of 5 segments"


class Quiet(SimpleHTTPRequestHandler):
    """Python's server, which knows no ranges, without its log."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a browser hangs up
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# Presses the button, and tells where it begins to play and where it stands still then.
LISTEN = """
async (button) => {
  const audio = document.querySelector("audio");
  const heard = (name) => new Promise((done) => audio.addEventListener(name, done, { once: true }));
  const begins = heard("play").then(() => audio.currentTime);
  const ends = heard("play").then(() => heard("pause"));
  button.click();
  const begun = await begins;
  await ends;
  await new Promise(requestAnimationFrame);
  return [begun, audio.currentTime, document.querySelectorAll(".playing").length];
}
"""
LATE = 2  # seconds that a busy machine may need to stop; the recording is longer


def check_playing(tab: Any) -> None:
    """Segments are played from where they begin to where they end, in any order."""
    for text, begin, end in (("Two.", 2.0, 3.1), ("One.", 0.0, 1.25), ("", 6.0, 7.0)):
        listen = row(tab, text).locator(".listen")
        begun, stopped, still_marked = tab.evaluate(LISTEN, listen.element_handle())
        assert begin <= begun < end, text
        assert end - 0.01 <= stopped < end + LATE, text
        assert not still_marked, text
    assert not tab.visit.complaints


def test_a_segment_plays_from_a_folder(page: Path) -> None:
    with opened(page) as tab:
        check_playing(tab)


def test_a_segment_plays_from_a_server_without_ranges(page: Path) -> None:
    with served(page.parent) as address, opened(page) as tab:
        tab.goto(f"{address}/labels.html")
        check_playing(tab)
        assert any(url.startswith("blob:") for url in tab.visit.requested)
        fetches = [url for url in tab.visit.requested if url.endswith(".wav")]
        assert len(fetches) <= 2, "once to try, and once as a whole"


def test_what_cannot_be_played_is_told(page: Path) -> None:
    (page.parent / AUDIO).unlink()
    with opened(page) as tab:
        row(tab, "Two.").locator(".listen").click()
        tab.get_by_text("long one.mp3 cannot be played from a folder/it's").wait_for()
        assert tab.locator(".playing").count() == 0


def test_keys_play_mark_and_go_on(page: Path, tmp_path: Path) -> None:
    playing = "document.querySelector('.playing textarea')?.value"
    with opened(page) as tab:
        tab.evaluate("void (audio.play = () => new Promise(() => {}))")  # none ends by itself
        row(tab, "Two.").focus()
        tab.keyboard.press("Space")
        assert tab.evaluate(playing) == "Two."
        tab.keyboard.press("Escape")
        assert tab.evaluate(playing) is None
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        assert tab.evaluate(playing) == "Five."
        row(tab, "Two.").locator("textarea").focus()
        tab.keyboard.press("Enter")
        assert tab.evaluate(playing) == "Two."
        tab.keyboard.press("Space")
        tab.keyboard.press("Control+Enter")
        assert tab.evaluate("document.activeElement.closest('tr').rowIndex") == 2
        assert list(saved(tab, tmp_path)) == [("long one.mp3", 0.0), ("long one.mp3", 2.0)]


def test_speakers_that_are_known_are_offered(page: Path) -> None:
    offered = "[...document.querySelectorAll('#speakers option')].map((one) => one.value)"
    with opened(page) as tab:
        assert tab.evaluate(offered) == ["anna", "bea"]
        row(tab, "Two.").get_by_label("Speaker").fill("carl")
        row(tab, "Two.").locator("textarea").focus()
        assert tab.evaluate(offered) == ["anna", "carl"]


def test_texts_are_shown_as_they_are(page: Path, tmp_path: Path) -> None:
    with opened(page) as tab:
        assert SHOWN in texts(tab)
        assert tab.locator("b").count() == 0
        row(tab, SHOWN).get_by_role("button", name="ok").click()
        assert saved(tab, tmp_path)["long one.mp3", 4.0].text == SHOWN
        assert not tab.visit.complaints


def test_of_many_rows_only_some_are_built(tmp_path: Path) -> None:
    begins = np.arange(5000) * 2.0
    many = [
        {"begin": begin, "end": begin + 1.5, "text": f"Sentence {begin:g}.", "confidence": 0.5}
        for begin in begins
    ]
    write_labels_page(table(many), "a long one", tmp_path / "labels.html")
    with opened(tmp_path / "labels.html") as tab:
        assert tab.locator("#count").inner_text() == "5\u202f000 of 5\u202f000 segments"
        first = tab.locator("tbody tr").count()
        assert 0 < first < 500
        tab.locator("tbody tr").last.scroll_into_view_if_needed()
        tab.wait_for_function("(n) => document.querySelectorAll('tbody tr').length > n", arg=first)
        assert tab.locator("tbody tr").count() < 1000
        tab.get_by_label("Text, recording, speaker or reason").fill("Sentence 9998.")
        assert texts(tab) == ["Sentence 9998."]


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_not_wider_than_the_window(page: Path, tmp_path: Path, dark: bool) -> None:
    overhang = "document.documentElement.scrollWidth - window.innerWidth"
    with opened(page, dark=dark) as tab:
        for width in (1280, 1000, 700, 360):
            tab.set_viewport_size({"width": width, "height": 740})
            assert tab.evaluate(overhang) <= 0, width
            tab.screenshot(path=tmp_path / f"{width}.png", full_page=True)
        assert not tab.visit.complaints


def test_everything_to_press_or_write_in_has_a_name(page: Path) -> None:
    with opened(page) as tab:
        for role in ("button", "textbox", "combobox", "searchbox"):
            for one in tab.get_by_role(role).all():
                assert re.search(r"\w", one.aria_snapshot().split('"')[1]), role


def test_the_summary_counts_what_is_left_out_by_reason(tmp_path: Path) -> None:
    reasons = [
        *("dnsmos 2.1 is below 2.6", "dnsmos 1.95 is below 2.6", "is in de (0.93), not in en"),
        *("is in de (0.81), not in en", "labels.tsv says <no>", "", ""),
    ]
    many = table([{**SEGMENTS[0], "end": 30.0, "reason": reason} for reason in reasons])
    write_labels_page(many, "a & b", tmp_path / "labels.html")
    html = (tmp_path / "labels.html").read_text("utf-8")
    for told in (
        "<title>a &amp; b: proofread</title>",
        "7 segments: 1.0 minutes are kept; 5 segments are left out, 2.5 minutes.",
        ">2 × dnsmos … is below 2.6<",
        ">2 × is in de (…), not in en<",
        ">1 × labels.tsv says &lt;no&gt;<",
    ):
        assert told in html, told


def test_numbers_and_addresses_are_as_scripts_read_them(tmp_path: Path) -> None:
    write_labels_page(table(), "a corpus", tmp_path / "labels.html")
    html = (tmp_path / "labels.html").read_text("utf-8")
    (found,) = re.findall(r'(?s)<script type="application/json"[^>]*>(.*?)</script>', html)
    data = json.loads(found, parse_constant=pytest.fail)
    rows = [dict(zip(data["columns"], cells, strict=True)) for cells in data["rows"]]
    assert [r["confidence"] for r in rows] == [0.9, 0.3, None, 0.5, 0.7]
    assert [r["snr"] for r in rows][1:3] == [25.0, None]
    assert rows[0]["audio"] == "a%20folder/it%27s%20%231%3A%20100%25%20%C3%A4.wav"
    assert rows[2]["text"] == TRICKY


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    write_labels_page(table()[:0], "nothing", tmp_path / "labels.html")
    with opened(tmp_path / "labels.html") as tab:
        assert tab.locator("#count").inner_text() == "0 of 0 segments"
        assert saved(tab, tmp_path) == {}
        assert not tab.visit.complaints
