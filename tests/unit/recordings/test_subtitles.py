"""What is said when: subtitles and labels beside a recording."""

import random
from pathlib import Path

import pytest

from revoice.recordings import subtitles as module
from revoice.recordings.subtitles import (
    Line,
    is_labels,
    read_subtitles,
    sentences,
    subtitles_beside,
    within,
)

SRT = """1
00:00:01,000 --> 00:00:02,500
Good morning,
everybody.

2
00:01:03,250 --> 00:01:04,000
It was the year
1984
"""
SRT_LINES = [Line(1, 2.5, "Good morning, everybody."), Line(63.25, 64, "It was the year 1984")]
VTT = """WEBVTT - a talk
Kind: captions

STYLE
::cue { color: red }

NOTE This is for those who translate.

intro
00:01.000 --> 00:02.500 align:start position:0%
<v.loud Ann Lee>Good <i>morning</i>

NOTE
Two rows.

00:01:03.250 --> 00:01:04.000
<v Bob>Room
12</v>

01:00:00.000 --> 01:00:02.000
<v Ann Lee>Yes.</v>
<v Bob>No.</v>
"""
VTT_LINES = [
    Line(1, 2.5, "Good morning", "Ann Lee"),
    Line(63.25, 64, "Room 12", "Bob"),
    Line(3600, 3602, "Yes. No.", "Ann Lee, Bob"),
]
LABELS = "1.000000\t2.500000\tGood morning\n\\\t100.0\t2000.0\n3.5\t4\t\n63.25\t64.0\tA\ttab\n"
LABEL_LINES = [Line(1, 2.5, "Good morning"), Line(63.25, 64, "A tab")]
# As praat writes it, but for a begin that is not quite zero, which it writes too.
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 4.5 
tiers? <exists> 
size = 3 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "Ann" 
        xmin = 5e-17 
        xmax = 4.5 
        intervals: size = 3 
        intervals [1]:
            xmin = 5e-17 
            xmax = 1.25 
            text = "She said ""no"" in
two rows" 
        intervals [2]:
            xmin = 1.25 
            xmax = 3 
            text = "" 
        intervals [3]:
            xmin = 3 
            xmax = 4.5 
            text = "See item [1]: and intervals [2]" 
    item [2]:
        class = "TextTier" 
        name = "clicks" 
        xmin = 0 
        xmax = 4.5 
        points: size = 1 
        points [1]:
            number = 2 
            mark = "click" 
    item [3]:
        class = "IntervalTier" 
        name = "Bob" 
        xmin = 0 
        xmax = 4.5 
        intervals: size = 1 
        intervals [1]:
            xmin = 1.5 
            xmax = 2.5 
            text = "Yes" 
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
4.5
<exists>
3
"IntervalTier"
"Ann"
0
4.5
3
0
1.25
"She said ""no"" in
two rows"
1.25
3
""
3
4.5
"See item [1]: and intervals [2]"
"TextTier"
"clicks"
0
4.5
1
2
"click"
"IntervalTier"
"Bob"
0
4.5
1
1.5
2.5
"Yes\""""
GRID_LINES = [
    Line(0, 1.25, 'She said "no" in two rows', "Ann"),
    Line(1.5, 2.5, "Yes", "Bob"),
    Line(3, 4.5, "See item: and intervals", "Ann"),
]
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.869 align:start position:0%
 
hello<00:00:00.480><c> dear</c><00:00:01.040><c> friends</c>

00:00:02.869 --> 00:00:02.879 align:start position:0%
hello dear friends
 

00:00:02.879 --> 00:00:05.000 align:start position:0%
hello dear friends
this<00:00:03.100><c> is</c>

00:00:05.000 --> 00:00:09.000 align:start position:0%
this is
[Music]

00:00:09.000 --> 00:00:10.000 align:start position:0%
[Music]
now on
"""


def captions(*spans: tuple[float, float, str]) -> str:
    """SubRip: begin and end in seconds below a minute, and text."""
    rows = [f"00:00:{begin:06.3f} --> 00:00:{end:06.3f}\n{text}\n" for begin, end, text in spans]
    return "\n".join(f"{number}\n{row}" for number, row in enumerate(rows, 1))


def read(folder: Path, name: str, content: str | bytes) -> list[Line]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_subtitles(path)


def spoken(folder: Path, text: str) -> list[str]:
    return [line.text for line in read(folder, "talk.srt", captions((1, 2, text)))]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("talk.srt", SRT, SRT_LINES),
        ("talk.SRT", SRT.replace(",000", ".000"), SRT_LINES),
        ("talk.vtt", VTT, VTT_LINES),
        ("talk.srt", VTT, VTT_LINES),
        ("talk.txt", LABELS, LABEL_LINES),
        ("talk.TextGrid", LONG, GRID_LINES),
        ("talk.textgrid", SHORT, GRID_LINES),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_is_read(
    tmp_path: Path, name: str, content: str, lines: list[Line], encoding: str, newline: str
) -> None:
    found = read(tmp_path, name, content.replace("\n", newline).encode(encoding))
    assert [line._replace(begin=round(line.begin, 6)) for line in found] == lines


def test_a_text_grid_with_one_tier_of_intervals_names_no_speaker(tmp_path: Path) -> None:
    one = LONG.replace("size = 3 \nitem", "size = 2 \nitem").partition("    item [3]:")[0]
    found = read(tmp_path, "talk.TextGrid", one)
    assert [line.speaker for line in found] == ["", ""]


def test_lines_are_sorted_by_time(tmp_path: Path) -> None:
    found = read(tmp_path, "talk.srt", captions((5, 6, "two"), (1, 2, "one"), (8, 9, "three")))
    assert [line.text for line in found] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<i>No</i>, <font color='#fff'>said</font> <b>he</b>", "No, said he"),
        (r"{\an8}Up {\i1}there{\i0}", "Up there"),
        (r"one\Ntwo", "one two"),
        ("<c.yellow.bg_blue>Look</c>", "Look"),
        ("so<00:00:01.100> it<00:00:01.500> is", "so it is"),
        ("<ruby>漢字<rt>かんじ</rt></ruby>です", "漢字です"),
        ("Tom &amp; Ann&nbsp;say 1 &lt; 2 &#39;n so", "Tom & Ann say 1 < 2 'n so"),
        ("1 < 2, 3 > 2", "1 < 2, 3 > 2"),
        ("\u200ee\u200b‏ven\ufeff so ", "even so"),
        ("- Are you there?\n- I am.", "Are you there? I am."),
        ("-Are you?\n–¿Qué?\n— Well-known.", "Are you? ¿Qué? Well-known."),
        ("-5 degrees", "-5 degrees"),
        (">> And now\n&gt;&gt;&gt; the news", "And now the news"),
        ("[Ann]: Hello (laughs). [door\nslams] Come in!", "Hello. Come in!"),
        ("（拍手）ありがとう【音楽】", "ありがとう"),
        ("♪ la la ♪ Stop it! ♪♪ la\nla ♪♪", "Stop it!"),
        ("Listen ♪ la la", "Listen"),
        ("an (open bracket", "an (open bracket"),
    ],
)
def test_what_is_not_spoken_is_removed(tmp_path: Path, text: str, plain: str) -> None:
    assert spoken(tmp_path, text) == [plain]


@pytest.mark.parametrize(
    "text", ["", "[music]", "(laughs)\n♪ la la ♪", "- ", "...", "<i></i>", "♪"]
)
def test_a_line_in_which_nothing_is_said_is_none(tmp_path: Path, text: str) -> None:
    assert spoken(tmp_path, text) == []


def test_rolling_captions_say_nothing_twice(tmp_path: Path) -> None:
    assert read(tmp_path, "talk.en.vtt", ROLLING) == [
        Line(0.16, 2.879, "hello dear friends"),
        Line(2.879, 5.0, "this is"),
        Line(9.0, 10.0, "now on"),
    ]


def test_a_caption_that_stays_is_one_and_one_that_comes_again_is_two(tmp_path: Path) -> None:
    stays = captions((1, 2, "No."), (2, 3, "<i>No.</i>"), (4, 5, "No."))
    assert read(tmp_path, "talk.srt", stays) == [Line(1, 3, "No."), Line(4, 5, "No.")]


def test_what_another_speaker_repeats_is_kept(tmp_path: Path) -> None:
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>No\n\n00:02.000 --> 00:03.000\n<v B>No\n"
    assert read(tmp_path, "talk.vtt", vtt) == [Line(1, 2, "No", "A"), Line(2, 3, "No", "B")]


def test_labels_that_repeat_are_kept(tmp_path: Path) -> None:
    assert len(read(tmp_path, "talk.txt", "1.0\t2.0\tno\n2.0\t3.0\tno\n")) == 2


NO_GRID = b'File type = "ooTextFile"\nObject class = "Pitch 1"\n'
DAMAGED = {
    "neither encoding": ("talk.srt", SRT.replace("y", "é").encode("latin-1"), "UTF-8"),
    "half a UTF-16 letter": ("talk.srt", SRT.encode("utf-16")[:-1], "UTF-8"),
    "null bytes": ("talk.srt", SRT.encode("utf-16-le"), "UTF-8"),
    "nothing": ("talk.srt", b"", "-->"),
    "no times": ("talk.srt", b"Good morning, everybody.\n", "-->"),
    "a header alone": ("talk.vtt", b"WEBVTT\n\nNOTE nothing yet\n", "-->"),
    "an hour that is none": ("talk.vtt", b"WEBVTT\n\n:01:02.000 --> 01:04.000\nHi\n", "-->"),
    "text among labels": ("talk.txt", b"1.0\t2.0\tHi\nthere\n", "line 2 has no times.*tabs"),
    "decimal commas": ("talk.txt", b"1,0\t2,0\tHi\n", "line 1"),
    "no labels": ("talk.txt", b"\n", "tabs"),
    "no TextGrid": ("talk.TextGrid", NO_GRID, "does not begin"),
    "empty TextGrid": ("talk.TextGrid", b"", "Praat"),
    "a header of a TextGrid": ("talk.TextGrid", LONG[:60].encode(), "Praat"),
    "a cut TextGrid": ("talk.TextGrid", LONG[:-20].encode(), "Bob"),
    "a lost tier": ("talk.TextGrid", LONG.partition("    item [3]")[0].encode(), "many tiers"),
    "a number that is none": ("talk.TextGrid", LONG.replace("1.25", "1.2.5").encode(), "1.2.5"),
    "an open quote": ("talk.TextGrid", LONG.replace('"Yes"', '"Yes').encode(), "damaged"),
    "points alone": (
        "talk.TextGrid",
        b'"ooTextFile"\n"TextGrid"\n0\n4\n<exists>\n1\n"TextTier"\n"a"\n0\n4\n1\n2\n"click"\n',
        "tiers of intervals",
    ),
    "another kind": ("talk.ass", b"[Script Info]", "none of .srt, .vtt"),
}


@pytest.mark.parametrize(("name", "content", "why"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_with_the_mend(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(ValueError, match=rf"(?s){name} .*{why}"):
        read(tmp_path, name, content)


@pytest.mark.parametrize("name", ["talk.srt", "talk.vtt", "talk.TextGrid", "talk.txt"])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_in_a_file_there_are_lines_or_a_value_error(
    tmp_path: Path, name: str, seed: int
) -> None:
    whole = {"talk.srt": SRT, "talk.vtt": ROLLING, "talk.TextGrid": LONG, "talk.txt": LABELS}[name]
    draw = random.Random(seed)
    for _ in range(40):
        content = bytearray(whole.encode())
        for _ in range(draw.randrange(1, 20)):
            at = draw.randrange(len(content))
            content[at : at + draw.randrange(9)] = draw.choice([b'"', b"-->", b"\n\n", b"<", b"9"])
        try:
            assert all(line.text for line in read(tmp_path, name, bytes(content)))
        except ValueError as error:
            assert name in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["talk.srt", "talk.vtt", "talk.TextGrid", "talk.txt"])
@pytest.mark.parametrize(
    "part", ["\n", " ", '"', '= "', "<", "<v ", "(", "[", "♪", "1\n", ".", "-->", "{\\", "\t", "&"]
)
def test_a_file_of_many_of_the_same_is_soon_through(tmp_path: Path, name: str, part: str) -> None:
    """What takes the square of its length would run for hours."""
    heads = {
        "talk.srt": "00:00:01,000 --> 00:00:02,000\nHi ",
        "talk.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\nHi ",
        "talk.TextGrid": LONG.rpartition('"Yes"')[0] + '"Yes ',
        "talk.txt": "1.0\t2.0\tHi ",
    }
    try:
        lines = read(tmp_path, name, heads[name] + part * 200_000 + " there")
    except ValueError:
        return
    assert lines[0].text


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "talk.srt", "wb") as file:
        file.truncate(1 << 40)  # takes no room
    with pytest.raises(ValueError, match=r"talk\.srt has more than 64 MiB"):
        read_subtitles(tmp_path / "talk.srt")
    (tmp_path / "talk.srt").rename(tmp_path / "talk.txt")
    assert not is_labels(tmp_path / "talk.txt")


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (LABELS.encode(), True),
        (LABELS.encode("utf-16"), True),
        (b"\n\\\t1.0\t2.0\n1.0\t2.0", True),
        (b"Good morning.\n1.0\t2.0\tHi\n", False),
        (b"1.0 2.0 Hi\n", False),
        (b"12\t13\n", True),
        ("Guten Tag, Müller".encode("latin-1"), False),
        (b"", False),
    ],
)
def test_a_label_track_is_told_from_a_transcript(
    tmp_path: Path, content: bytes, labels: bool
) -> None:
    (tmp_path / "talk.txt").write_bytes(content)
    assert is_labels(tmp_path / "talk.txt") == labels


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("", None),
        ("talk.txt other.srt talk.mp4 talk.json talk2.srt", None),
        ("labels.txt talk.txt", None),
        ("talk.srt talk.vtt talk.TextGrid", "talk.srt"),
        ("talk.vtt talk.TextGrid", "talk.vtt"),
        ("talk.textgrid", "talk.textgrid"),
        ("talk.SRT talk.vtt", "talk.SRT"),
        ("talk.en.srt talk.vtt", "talk.en.srt"),
        ("talk.pt-BR.vtt", "talk.pt-BR.vtt"),
        ("talk.en.srt talk.de.srt talk.srt", "talk.srt"),
        ("talk.de.vtt talk.en-orig.vtt talk.en.vtt", "talk.en-orig.vtt"),
        ("talk.about.srt", None),
        ("talk.two.mp3 talk.two.srt", None),
    ],
)
def test_subtitles_are_found_beside_a_recording(
    tmp_path: Path, names: str, found: str | None
) -> None:
    for name in ["talk.mp3", *names.split()]:
        (tmp_path / name).write_text("What is said here.")
    assert subtitles_beside(tmp_path / "talk.mp3") == (tmp_path / found if found else None)


def test_a_label_track_is_found_and_a_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").mkdir()
    (tmp_path / "talk.txt").write_text(LABELS)
    assert subtitles_beside(tmp_path / "talk.mp3") == tmp_path / "talk.txt"


def test_languages_that_nobody_can_choose_from_are_named(tmp_path: Path) -> None:
    for name in ("talk.de.srt", "talk.en.srt"):
        (tmp_path / name).write_text(SRT)
    with pytest.raises(ValueError, match=r"talk\.de\.srt, talk\.en\.srt: .* talk\.srt"):
        subtitles_beside(tmp_path / "talk.mp3")


def test_a_caption_that_breaks_a_sentence_is_joined() -> None:
    lines = [Line(1, 3, "Good morning", "A"), Line(3.2, 5, "to you.", "A"), Line(5, 6, "Hi", "A")]
    assert sentences(lines) == [Line(1, 5, "Good morning to you.", "A"), Line(5, 6, "Hi", "A")]


@pytest.mark.parametrize(
    "text", ["So.", "So?", "So!", "“So.”", "(So.)", "そう。", "「そう！」", "So?!", "So…", 'So.")']
)
def test_a_sentence_that_ends_is_not_joined(text: str) -> None:
    lines = [Line(1, 2, text), Line(2, 3, "and on")]
    assert sentences(lines) == lines


@pytest.mark.parametrize("text", ["So,", "So 1.5", "「そう」と", "So -", 'a "so"'])
def test_what_ends_no_sentence_is_joined(text: str) -> None:
    assert sentences([Line(1, 2, text), Line(2, 3, "on")]) == [Line(1, 3, f"{text} on")]


@pytest.mark.parametrize(
    ("second", "joined"),
    [
        (Line(1.3, 5, "b"), True),
        (Line(1.31, 5, "b"), False),
        (Line(0.9, 5, "b"), True),
        (Line(0.5, 5, "b"), False),
        (Line(1.0, 5, "b", "Bob"), False),
        (Line(1.0, 15.1, "b"), True),
        (Line(1.0, 15.2, "b"), False),
    ],
)
def test_only_near_lines_of_a_speaker_that_stay_short_are_joined(
    second: Line, joined: bool
) -> None:
    assert len(sentences([Line(0.1, 1.0, "a"), second])) == (1 if joined else 2)


def test_more_than_two_lines_are_joined_until_they_are_long() -> None:
    lines = [Line(i, i + 1, f"w{i}") for i in range(10)]
    found = sentences(lines, longest=4)
    assert [(line.begin, line.end) for line in found] == [(0, 4), (4, 8), (8, 10)]
    assert found[0].text == "w0 w1 w2 w3"


def test_lines_that_lie_in_a_recording_are_kept() -> None:
    lines = [Line(50, 60.5, "b"), Line(0, 4, "a")]
    assert within(lines, 60) == ([Line(0, 4, "a"), Line(50, 60, "b")], [])
    assert within([], 60) == ([], [])


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (65, 70, "its times, 65.0 to 70.0 s, are beyond the recording's end, 60.0 s"),
        (59, 60.6, "its times, 59.0 to 60.6 s, are beyond the recording's end, 60.0 s"),
        (60.1, 60.4, "its times, 60.1 to 60.4 s, are beyond the recording's end, 60.0 s"),
        (5, 5, "its end, 5.0 s, is not after its begin, 5.0 s"),
        (5, 4, "its end, 4.0 s, is not after its begin, 5.0 s"),
        (-1, 4, "its times, -1.0 to 4.0 s, are before the recording's begin"),
    ],
)
def test_lines_that_do_not_are_given_with_the_reason(begin: float, end: float, why: str) -> None:
    good, bad = Line(10, 12, "a"), Line(begin, end, "b")
    assert within([bad, good], 60) == ([good], [(bad, why)])


def test_lines_that_overlap_are_all_left_out() -> None:
    lines = [Line(0, 10, "a"), Line(1, 2, "b"), Line(5, 6, "c"), Line(10, 11, "d")]
    kept, wrong = within(lines, 60)
    assert kept == [lines[3]]
    assert wrong == [
        (lines[0], "overlaps the line after: several speak at once?"),
        (lines[1], "overlaps the line before: several speak at once?"),
        (lines[2], "overlaps the line before: several speak at once?"),
    ]


def test_a_small_overlap_is_cut_in_the_middle() -> None:
    kept, wrong = within([Line(1, 2.1, "a"), Line(2, 3, "b"), Line(2.96, 2.98, "c")], 60)
    assert wrong == []
    times = [time for line in kept for time in (line.begin, line.end)]
    assert times == pytest.approx([1, 2.05, 2.05, 2.97, 2.97, 2.98])


@pytest.mark.parametrize("seed", range(20))
def test_lines_that_are_kept_never_overlap_and_none_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    begins = [draw.uniform(-1, 61) for _ in range(30)]
    lines = [Line(t, t + draw.uniform(-0.1, 1.5), str(i)) for i, t in enumerate(begins)]
    kept, wrong = within(lines, 60)
    assert sorted([line.text for line in kept] + [line.text for line, _ in wrong]) == sorted(
        line.text for line in lines
    )
    times = [time for line in kept for time in (line.begin, line.end)]
    assert times == sorted(times)
    assert all(0 <= line.begin < line.end <= 60 for line in kept)
    assert all(why for _, why in wrong)


def test_kinds_looked_for_can_be_read() -> None:
    assert [suffix.lower() for suffix in module.SUFFIXES] == list(module.READERS)
