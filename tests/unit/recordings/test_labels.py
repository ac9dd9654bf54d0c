"""`labels.tsv`: what is read of it, and what is said of one that cannot be read."""

from pathlib import Path

import pytest

from revoice.recordings.labels import Label, label_lines, read_labels

HEADER = "recording\tbegin\tend\tstatus\tspeaker\ttext\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_are_read_in_order(tmp_path: Path) -> None:
    rows = "b/two.mp3\t1.5\t3\tok\tanna\tHello there.\nb/two.mp3\t0\t1.2\tbad\t\t\n"
    assert read_labels(written(tmp_path, HEADER + rows)) == [
        Label("b/two.mp3", 1.5, 3.0, "ok", "anna", "Hello there."),
        Label("b/two.mp3", 0.0, 1.2, "bad", "", ""),
    ]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_labels(tmp_path / "labels.tsv") == []
    assert label_lines(tmp_path / "labels.tsv") == {}


def test_columns_may_be_in_any_order_and_some_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "text\tend\tbegin\trecording\nHello.\t2\t1\t./a//b.wav\n")
    assert read_labels(path) == [Label("a/b.wav", 1.0, 2.0, "ok", "", "Hello.")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, end: str) -> None:
    rows = HEADER + "a.wav\t1\t2\tok\t \t Schöne Grüße \n\t\t\t\t\t\n\n"
    path = written(tmp_path, b"\xef\xbb\xbf" + rows.replace("\n", end).encode())
    assert read_labels(path) == [Label("a.wav", 1.0, 2.0, "ok", "", "Schöne Grüße")]


@pytest.mark.parametrize("text", ['"Yes", he said', 'a 5" pipe', '"', "one\u2028line", "שלום"])
def test_a_text_means_what_it_says(tmp_path: Path, text: str) -> None:
    rows = f"a.wav\t1\t2\tok\t\t{text}\na.wav\t2\t3\tok\t\tNext.\n"
    assert [label.text for label in read_labels(written(tmp_path, HEADER + rows))] == [
        text,
        "Next.",
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("\t1\t2\tok\t\tHello.", "recording is empty"),
        ("a.wav\tone\t2\tok\t\tHello.", "begin is 'one': write seconds as in 12.5"),
        ("a.wav\t1,5\t2\tok\t\tHello.", "begin is '1,5': write seconds"),
        ("a.wav\t1\tnan\tok\t\tHello.", "end is 'nan': write seconds"),
        ("a.wav\t1\tinf\tok\t\tHello.", "end is 'inf': write seconds"),
        ("a.wav\t-1\t2\tok\t\tHello.", "begin is '-1': write seconds"),
        ("a.wav\t2\t2\tok\t\tHello.", "end 2 is not after begin 2"),
        ("a.wav\t1\t2\tOK\t\tHello.", "unknown status 'OK': write ok or bad"),
        ("a.wav\t1\t2\t\t\tHello.", "unknown status '': write ok or bad"),
        ("a.wav\t1\t2\tok\t\t", "text is empty: write what is said, or make its status bad"),
        ("a.wav\t1\t2\tok\t\tHel\0lo.", "text has a null byte"),
        ("a.wav\t1\t2\tok\t\tHello.\tthere", "has 7 cells, but there are 6 columns"),
        ("a.wav\t1\t2\tok\tHello.", "has 5 cells, and none for text"),
        ("c.wav\t2.9\t4\tok\t\tHello.", "begin 2.9 is before end 3 of line 2"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_the_mend(tmp_path: Path, row: str, told: str) -> None:
    path = written(tmp_path, f"{HEADER}c.wav\t1\t3\tok\t\tGood.\n\n{row}\n")
    with pytest.raises(ValueError, match="line 4") as error:
        read_labels(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", "names no column recording and begin and end and text"),
        ("recording\tbegin\ttext\n", "names no column end"),
        (HEADER.replace("speaker", "speeker"), "unknown column 'speeker': remove it"),
        (HEADER.replace("speaker", "text"), "column text is there twice"),
        (HEADER.replace("\t", ","), "separated by tabs"),
    ],
)
def test_a_header_that_cannot_be_is_told(tmp_path: Path, header: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"labels\.tsv: line 1") as error:
        read_labels(written(tmp_path, header))
    assert told in str(error.value)


def test_what_is_not_utf8_is_told(tmp_path: Path) -> None:
    latin = (HEADER + "a.wav\t1\t2\tok\t\tOne.\na.wav\t2\t3\tok\t\tGrüße.\n").encode("latin-1")
    with pytest.raises(ValueError, match=r"line 3 is not UTF-8.*: save it as UTF-8"):
        read_labels(written(tmp_path, latin))
    with pytest.raises(ValueError, match="line 1 is not UTF-8"):
        read_labels(written(tmp_path, HEADER.encode("utf-16")))


def test_rows_may_share_what_rounding_adds(tmp_path: Path) -> None:
    rows = "a.wav\t1\t2.05\tok\t\tOne.\na.wav\t2\t3\tok\t\tTwo.\nb.wav\t1\t3\tok\t\tOther.\n"
    assert len(read_labels(written(tmp_path, HEADER + rows))) == 3


def test_a_row_inside_a_longer_one_is_found(tmp_path: Path) -> None:
    rows = "a.wav\t8\t9\tbad\t\t\na.wav\t1\t10\tok\t\tLong.\na.wav\t2\t3\tok\t\tShort.\n"
    with pytest.raises(ValueError, match="line 4: begin 2 is before end 10 of line 3"):
        read_labels(written(tmp_path, HEADER + rows))


def test_lines_go_with_their_recording_whatever_is_in_them(tmp_path: Path) -> None:
    rows = "b.wav\t2\t3\tok\t\tTwo.\nb.wav\t1\t2\nb.wav\tx\t\t\t\t\ty\na.wav\t1\t2\tno\t\t\xe9\n"
    path = written(tmp_path, (HEADER + rows).replace("\n", "\r\n").encode("latin-1"))
    assert label_lines(path) == {
        "b.wav": ["b.wav\t1\t2", "b.wav\t2\t3\tok\t\tTwo.", "b.wav\tx\t\t\t\t\ty"],
        "a.wav": ["a.wav\t1\t2\tno\t\t\\xe9"],
    }
    assert label_lines(written(tmp_path, "")) == {}


def test_lines_change_with_what_they_mean_and_only_then(tmp_path: Path) -> None:
    usual = label_lines(written(tmp_path, HEADER + "a.wav\t1\t2\tok\t\tOne.\n"))
    without = "begin\trecording\tend\ttext\n1\ta.wav\t2\tOne.\n"
    assert label_lines(written(tmp_path, without)) == usual
    swapped = HEADER.replace("begin\tend", "end\tbegin") + "a.wav\t1\t2\tok\t\tOne.\n"
    assert label_lines(written(tmp_path, swapped)) != usual
