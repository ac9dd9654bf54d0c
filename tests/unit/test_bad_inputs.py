"""Bad and odd inputs, stage by stage: what is said of each, and that they spoil nothing else."""

import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import soundfile
import torch
import yaml
from lhotse import CutSet, MonoCut, SupervisionSegment
from safetensors.torch import save
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from torch import Tensor

from revoice.codec.choice import given_codec
from revoice.codec.cuts import encode_cuts
from revoice.codec.files import describe_codec, load_codec
from revoice.codec.identity import codec_of_codes
from revoice.codec.world import WorldCodec
from revoice.config import AudioConfig, CorpusConfig
from revoice.config_file import check_encoding, load_config
from revoice.corpus import audio
from revoice.corpus.audio import SAMPLE_RATE, recordings_of, resample
from revoice.corpus.index import index_corpus, read_index, scan, write_index
from revoice.corpus.naming import corpus_root
from revoice.corpus.transcripts import Transcript, transcripts
from revoice.model.checkpoint import FORMAT, load_model, save_model
from revoice.model.pretrained import export_checkpoint, import_checkpoint
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.text import EspeakTokenizer, VallexTokenizer, load_tokenizer
from revoice.text.cuts import tokenize_cuts
from revoice.workflow.given import check_given
from tests.unit.codec.test_codec import speech_like
from tests.unit.corpus.test_audio import cut_off, ffmpeg
from tests.unit.test_config import changed

ROOT = Path(__file__).resolve().parents[2]
THROUGH = ""  # in place of a message's key words
SAID = "Hello world"  # beside a good file
GOOD = {"plain.wav": SAMPLE_RATE, "other.flac": 44100}  # the first is linked, the second decoded
Build = Callable[[Path], Any]


class Came(NamedTuple):
    """What has come of a corpus: reasons by path; of files that came through the audio, codes."""

    reasons: dict[str, str]
    audio: dict[str, bytes]
    codes: dict[str, bytes]


@cache
def codec() -> WorldCodec:
    fitted = WorldCodec.fit([speech_like(4, seed=1)], seed=1)
    fitted.identity = {"name": "world"}
    return fitted


def put_good(folder: Path) -> None:
    for name, rate in GOOD.items():
        soundfile.write(folder / name, speech_like(0.6, seed=len(name)), rate)
        (folder / name).with_suffix(".txt").write_text(SAID)


def came_of(corpus: CorpusConfig, **config: Any) -> Came:
    """List a corpus's files, resample them, read their transcripts, encode what is left."""
    out = Path(str(corpus.path)).parent / "out"
    paths = [file.path for file in scan(corpus)[0]]
    sources = resample("mine", paths, corpus_root(corpus), out, AudioConfig(**config))
    reasons = {source.path: source.reason for source in sources}
    said = dict(transcripts(corpus, sorted(p for p, reason in reasons.items() if not reason)))
    reasons |= {path: why for path, why in said.items() if isinstance(why, str)}
    left = {source.id: source.path for source in sources if not reasons[source.path]}
    recordings = recordings_of(sources, out).filter(lambda recording: recording.id in left)
    cuts = encode_cuts(CutSet.from_manifests(recordings=recordings), codec(), out / "codes.h5")
    return Came(
        reasons,
        {path: (out / f"{name}.wav").read_bytes() for name, path in left.items()},
        {left[cut.recording.id]: cut.load_codes().tobytes() for cut in cuts},
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Came:
    """What comes of the good files where nothing bad is beside them."""
    folder = tmp_path_factory.mktemp("alone") / "mine"
    folder.mkdir()
    put_good(folder)
    came = came_of(CorpusConfig(kind="folder", path=str(folder)))
    assert came.reasons == dict.fromkeys(GOOD, THROUGH)
    return came


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The good files, for something bad to be put beside them."""
    folder = tmp_path / "mine"
    folder.mkdir()
    put_good(folder)
    return folder


def assert_good_ones_are_the_same(came: Came, alone: Came) -> None:
    for name in alone.codes:
        assert came.audio[name] == alone.audio[name]
        assert came.codes[name] == alone.codes[name]


# Audio


def sound(
    path: Path, rate: int = 16000, channels: int = 1, subtype: str = "PCM_16", gain: float = 1
) -> None:
    """Speech in a format; louder than full scale it is clipped."""
    samples = np.clip(gain * speech_like(0.4, seed=5), -1, 1)
    at_rate = np.interp(np.arange(0, 0.4, 1 / rate), np.arange(len(samples)) / 24000, samples)
    columns = np.stack([at_rate] * channels, axis=1)
    soundfile.write(path, columns, rate, subtype=subtype, format="WAV")


def samples_of(value: float) -> Build:
    return lambda path: soundfile.write(path, np.full(9600, value), 24000, subtype="DOUBLE")


def not_finite(path: Path) -> None:
    samples = speech_like(0.4, seed=5).astype(np.float64)
    samples[[100, 101, 5000, 6000]] = np.nan, np.nan, np.inf, -np.inf
    soundfile.write(path, samples, 24000, subtype="DOUBLE")


def overwritten(at: int, value: bytes) -> Build:
    """A WAV file with other bytes in its header."""

    def build(path: Path) -> None:
        sound(path)
        content = path.read_bytes()
        path.write_bytes(content[:at] + value + content[at + len(value) :])

    return build


def truncated(share: float) -> Build:
    """The beginning of a file in the format of its name."""

    def build(path: Path) -> None:
        whole = path.parent.parent / "whole.wav"
        soundfile.write(whole, speech_like(3, seed=6), 24000)
        ffmpeg("-i", whole, path)
        cut_off(path, share)

    return build


def film(*sounds: str) -> Build:
    picture = ["-f", "lavfi", "-i", "color=s=64x64:d=1:r=5"]
    heard = [part for each in sounds for part in ("-f", "lavfi", "-i", each)]
    return lambda path: ffmpeg(*picture, *heard, path)


def content(of_file: bytes) -> Build:
    return lambda path: path.write_bytes(of_file)


def two_cases(path: Path) -> None:
    sound(path)
    sound(path.with_name(path.name.upper()), rate=8000)


LIST = "cannot stand in a list: rename it"
NO_AUDIO = "cannot be decoded: .*(Invalid data|error|End of file)"
# What it is: its name, how it is made, key words of the reason.
AUDIO: dict[str, tuple[str, Build, str]] = {
    "an empty file": ("a.wav", content(b""), "^is empty"),
    "a WAV header cut off": ("a.wav", truncated(0.0002), "cannot be decoded|holds no audio"),
    "WAV data cut off": ("a.wav", truncated(0.6), r"is truncated: \d+ of \d+ bytes of audio are"),
    "a FLAC cut off": ("a.flac", truncated(0.6), "cannot be decoded|is truncated"),
    "an OGG cut off": ("a.ogg", truncated(0.6), "is truncated: its last Ogg page"),
    "an Opus cut off": ("a.opus", truncated(0.6), "is truncated: its last Ogg page"),
    "an MP3 cut off": ("a.mp3", truncated(0.6), r"is truncated: [\d.]+ of [\d.]+ s decode"),
    "an M4A cut off": ("a.m4a", truncated(0.6), "cannot be decoded"),
    "zeros called .wav": ("a.wav", content(bytes(5000)), NO_AUDIO),
    "zeros called .ogg": ("a.ogg", content(bytes(5000)), NO_AUDIO),
    "zeros called .flac": ("a.flac", content(bytes(5000)), NO_AUDIO),
    "a header with too great a length": ("a.wav", overwritten(40, b"\0\0\1\0"), "is truncated"),
    "a header with too small a length": ("a.wav", overwritten(40, b"\0\2\0\0"), "is too short"),
    "a header of 0 channels": ("a.wav", overwritten(22, b"\0\0"), "cannot be decoded"),
    "a header of 0 Hz": ("a.wav", overwritten(24, b"\0\0\0\0"), "cannot be decoded"),
    "a header of 0 bits": ("a.wav", overwritten(34, b"\0\0"), "cannot be decoded"),
    "6 channels": ("a.wav", partial(sound, channels=6, rate=48000), THROUGH),
    "8 bit": ("a.wav", partial(sound, subtype="PCM_U8"), THROUGH),
    "NaN and infinity among samples": ("a.wav", not_finite, THROUGH),
    "nothing but NaN": ("a.wav", samples_of(np.nan), "is silent"),
    "192 kHz": ("a.wav", partial(sound, rate=192000), THROUGH),
    "4 kHz": ("a.wav", partial(sound, rate=4000), THROUGH),
    "silence": ("a.wav", samples_of(0.0), "is silent"),
    "direct current": ("a.wav", samples_of(0.3), THROUGH),
    "clipped": ("a.wav", partial(sound, gain=50), THROUGH),
    "a film with sound": ("a.mp4", film("sine=d=1"), THROUGH),
    "a film without sound": ("a.mp4", film(), "^holds no audio"),
    "text called .wav": ("a.wav", content(b"This is no audio.\n"), NO_AUDIO),
    "a page called .mp3": ("a.mp3", content(b"<html>404 Not Found</html>"), NO_AUDIO),
    "a playlist called .mp3": ("a.mp3", content(b"#EXTM3U\nplain.wav\n"), "cannot be decoded|list"),
    "a link to nothing": ("a.wav", lambda path: path.symlink_to("nowhere.wav"), "does not exist"),
    "a link to itself": ("a.wav", lambda path: path.symlink_to("a.wav"), "is not listed"),
    "a folder": ("a.wav", Path.mkdir, "is not listed"),
    "a FIFO": ("a.wav", lambda path: os.mkfifo(path), "^is not a file"),
    "a line break in its name": ("a\nb.wav", sound, LIST),
    "a tab in its name": ("a\tb.wav", sound, LIST),
    "a name that is not UTF-8": (os.fsdecode(b"caf\xe9.wav"), content(b"RIFF"), LIST),
    "quotes in its name": ("a'b\"c.wav", sound, THROUGH),
    "a name like an option": ("-i.wav", sound, THROUGH),
    "a name like a protocol": ("concat:plain.wav|other.wav", sound, THROUGH),
    "a name like a command": ("$(touch trap);`id`.wav", sound, THROUGH),
    "an emoji in its name": ("\N{GRINNING FACE}.wav", sound, THROUGH),
    "a name of 255 bytes": ("é" * 125 + "x.wav", sound, THROUGH),
    "names that differ in case": ("a.wav", two_cases, THROUGH),
}


@pytest.mark.parametrize("row", AUDIO)
def test_bad_audio_is_named_and_spoils_no_other(row: str, folder: Path, alone: Came) -> None:
    name, build, expected = AUDIO[row]
    build(folder / name)
    (folder / name).with_suffix(".txt").write_text(SAID)
    corpus = CorpusConfig(kind="folder", path=str(folder))
    if expected == LIST:  # every path of the corpus stands in lists: it says so before anything
        with pytest.raises(ValueError, match=LIST) as caught:
            scan(corpus)
        assert repr(str(folder / name)) in str(caught.value)
        return
    came = came_of(corpus)
    assert_good_ones_are_the_same(came, alone)
    assert re.search(expected or "^$", came.reasons.get(name, "is not listed"))
    assert (name in came.codes) == (expected == THROUGH)
    for codes in came.codes.values():
        numbers = np.frombuffer(codes, np.int16)
        assert 0 <= numbers.min() <= numbers.max() < 1024


def test_audio_that_may_not_be_read(
    folder: Path, alone: Came, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the tests may read everything: the refusal is made."""
    look = audio._fault_before_decoding

    def refuse(path: Path) -> str:
        if path.name == "a.wav":
            raise PermissionError(13, "Permission denied")
        return look(path)

    sound(folder / "a.wav")
    monkeypatch.setattr(audio, "_fault_before_decoding", refuse)
    came = came_of(CorpusConfig(kind="folder", path=str(folder)))
    assert came.reasons["a.wav"] == "cannot be read: Permission denied"
    assert_good_ones_are_the_same(came, alone)


def test_samples_that_are_no_numbers_have_no_loudness(folder: Path) -> None:
    not_finite(folder / "a.wav")
    (folder / "a.txt").write_text(SAID)
    came = came_of(CorpusConfig(kind="folder", path=str(folder)), loudness=-20)
    assert came.reasons == {"a.wav": "is silent"} | dict.fromkeys(GOOD, THROUGH)


# Transcripts


def repeated(text: str, length: int) -> str:
    return (text * length)[:length].strip()


UNSPOKEN = "nothing of the text can be spoken"
# What it is: the file beside a recording, what is read from it, what that sounds like or key words
# of the reason why it is left out.
TEXTS: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "", "^a.txt is empty"),
    "spaces": (b" \n\t\r\n ", "", "^a.txt is empty"),
    "a mark of byte order": ("\ufeffHello you".encode(), "Hello you", "həloʊ"),
    "a mark of byte order alone": (b"\xef\xbb\xbf", "", "^a.txt is empty"),
    "UTF-16": ("Hello".encode("utf-16"), "", "^a.txt is not UTF-8"),
    "UTF-16 without a mark": ("Hello".encode("utf-16-le"), "", "null bytes: save it as UTF-8"),
    "Latin-1": ("Café".encode("latin-1"), "", "^a.txt is not UTF-8"),
    "a null byte": (b"Hello\0you", "", "null bytes"),
    "100 000 characters": (repeated("Hello ", 100_000).encode(), repeated("Hello ", 100_000), "h"),
    "one word of 20 000 letters": (b"a" * 20_000, "a" * 20_000, "æ"),
    "a number of 5 000 digits": (b"1" * 5_000, "1" * 5_000, "wʌn"),
    "control characters": (b"Hello\x07 \x1byou\x7f", "Hello\x07 \x1byou\x7f", "həloʊ_juː"),
    "line breaks of all kinds": ("a\rb\r\nc\u2028d\x85e".encode(), "a b c d e", "iː"),
    "punctuation alone": ("?! … —".encode(), "?! … —", UNSPOKEN),
    "nothing to be seen": ("\u200b\u202e".encode(), "\u200b\u202e", UNSPOKEN),
    "an emoji": ("Hi \N{GRINNING FACE}".encode(), "Hi \N{GRINNING FACE}", "haɪ_ɡɹɪnɪŋ_feɪs"),
    "another language": ("Привет".encode(), "Привет", "pɛː"),
    "right to left": ("مرحبا".encode(), "مرحبا", "æɹəbɪk"),
    "marks without end": (("Z" + "\u0301" * 500).encode(), "Z" + "\u0301" * 500, "z"),
    "a script": (b"<script>hi()</script>", "<script>hi()</script>", "skɹɪpt_haɪ"),
    "a formula": (b"=cmd()", "=cmd()", "iːkwəlz"),
    "phonemes of espeak": (b"[[h@loU]] you", "[[h@loU]] you", "juː"),
}


@pytest.fixture(scope="module")
def tokenizers() -> list[EspeakTokenizer | VallexTokenizer]:
    texts = [text for _, text, _ in TEXTS.values()] + [SAID]
    return [EspeakTokenizer.build((text, "en") for text in texts), VallexTokenizer()]


@pytest.mark.parametrize("row", TEXTS)
def test_odd_transcripts_are_said_or_named_and_spoil_no_other(
    row: str, folder: Path, alone: Came, tokenizers: list[EspeakTokenizer | VallexTokenizer]
) -> None:
    written, text, expected = TEXTS[row]
    sound(folder / "a.wav")
    (folder / "a.txt").write_bytes(written)
    corpus = CorpusConfig(kind="folder", path=str(folder))
    came = came_of(corpus)
    assert_good_ones_are_the_same(came, alone)
    said = dict(transcripts(corpus, sorted(came.reasons)))
    assert said.pop("a.wav") == (Transcript(text, "mine", "en") if text else came.reasons["a.wav"])
    assert said == dict.fromkeys(GOOD, Transcript(SAID, "mine", "en"))
    for tokenizer in tokenizers:
        left, report = tokenized([SAID, text, SAID], tokenizer)
        assert left["0"] == left["2"] == tokenized([SAID], tokenizer)[0]["0"]
        if tokenizer.name == "espeak":
            found = left.get("1") or came.reasons["a.wav"] or report[0]["reason"]
            assert re.search(expected, found)


def tokenized(
    texts: list[str], tokenizer: EspeakTokenizer | VallexTokenizer
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Phonemes by cut, and what is reported."""
    cuts = []
    for number, text in enumerate(texts):
        said = SupervisionSegment(f"{number}", "r", 0, 1, text=text, language="en")
        cuts.append(MonoCut(f"{number}", 0, 1, 0, supervisions=[said]))
    report: list[dict[str, Any]] = []
    left = tokenize_cuts(cuts, tokenizer, report)
    return {cut.id: cut.supervisions[0].custom["phonemes"] for cut in left}, report


# Tables

ROWS = "".join(f"{name},{SAID}\n" for name in GOOD)
COLUMNS = "path,text\n"
# What it is: the table, key words of what is said of it, or of single files in it.
TABLES: dict[str, tuple[str, str | dict[str, str]]] = {
    "nothing": ("", r"no column path and text; columns are \(none\)"),
    "no column for the text": ("path,words\n" + ROWS, "no column text; columns are path, words"),
    "columns in capitals": ("Path,Text\n" + ROWS, "no column path and text; columns are Path, Te"),
    "a column twice": ("path,text,text\n" + ROWS, "column text is there twice"),
    "semicolons": ((COLUMNS + ROWS).replace(",", ";"), "no column path and text; .*path;text"),
    "tabs": (
        (COLUMNS + ROWS).replace(",", "\t"),
        "no column path and text; columns are path\ttext",
    ),
    "no rows": (COLUMNS, "table.csv holds no audio"),
    "a row twice": (COLUMNS + ROWS + ROWS, "line 4 names plain.wav again"),
    "a row twice, spelt otherwise": (
        f"{COLUMNS}{ROWS}./plain.wav,Hello\n",
        "line 4 names plain.wav again",
    ),
    "a row without a path": (f"{COLUMNS}{ROWS} ,Hello\n", "line 4 names no path"),
    "a quote left open": (f'{COLUMNS}a.wav,"Hello\n{ROWS}', "line 2: .*Is a quote left open"),
    "a quote closed rows later": (
        f'{COLUMNS}a.wav,"Hello\n{ROWS}b.wav,"Hello," I said\n',
        "line 2: .*Is a quote left open",
    ),
    "a quote left open in a long table": (
        f'{COLUMNS}{ROWS}a.wav,"Hello\n' + "b.wav,Hello\n" * 20_000,
        "line 4: field larger than field limit .*Is a quote left open",
    ),
    "a comma without quotes": (f"{COLUMNS}{ROWS}a.wav,Hello, you\n", "line 4 has more cells than"),
    "a null byte in a path": (f"{COLUMNS}{ROWS}a\0.wav,Hello\n", r"a\\x00.wav' cannot stand in a"),
    "a line break in a path": (
        f'{COLUMNS}{ROWS}"a\nb.wav",Hello\n',
        r"a\\nb.wav' cannot stand in a",
    ),
    "a quote that is not at the beginning": (
        f'{COLUMNS}{ROWS}a.wav,5" of "it\n',
        {"a.wav": THROUGH},
    ),
    "quotes around a part of a text": (f'{COLUMNS}{ROWS}a.wav,"Oh," I say\n', {"a.wav": THROUGH}),
    "lines in a text": (f'{COLUMNS}{ROWS}a.wav,"Oh,\nI say"\n', {"a.wav": THROUGH}),
    "columns without a name": (
        f"path,text,,\n{ROWS}a.wav,Hello,,\n",
        {"a.wav": THROUGH},
    ),
    "commas at the end": (f"{COLUMNS}{ROWS}a.wav,Hello,,\n", {"a.wav": THROUGH}),
    "an absolute path": (f"{COLUMNS}{ROWS}{{folder}}/a.wav,Hi\n", {"{folder}/a.wav": THROUGH}),
    "a path upwards": (f"{COLUMNS}{ROWS}../mine/a.wav,Hi\n", {"../mine/a.wav": THROUGH}),
    "an address": (f"{COLUMNS}{ROWS}http://h/a.wav,Hi\n", {"http:/h/a.wav": "does not exist"}),
    "a path to a folder": (f"{COLUMNS}{ROWS}../mine,Hello\n", {"../mine": "is not a file"}),
    "a path below a file": (f"{COLUMNS}{ROWS}a.wav/b.wav,Hi\n", {"a.wav/b.wav": "does not exist"}),
    "a path too long": (f"{COLUMNS}{ROWS}{'x' * 300},Hi\n", {"x" * 300: "File name too long"}),
    "a path to text": (f"{COLUMNS}{ROWS}table.csv,Hello\n", {"table.csv": "cannot be decoded"}),
    "a null byte in a text": (f"{COLUMNS}{ROWS}a.wav,H\0i\n", {"a.wav": "null bytes"}),
    "an empty text": (f"{COLUMNS}{ROWS}a.wav,\n", {"a.wav": "its text in the table is empty"}),
    "a formula for a text": (f"{COLUMNS}{ROWS}a.wav,=cmd()\n", {"a.wav": THROUGH}),
}


@pytest.mark.parametrize("row", TABLES)
def test_odd_tables_are_named_with_the_line_and_spoil_no_other(
    row: str, folder: Path, alone: Came
) -> None:
    written, expected = TABLES[row]
    sound(folder / "a.wav")
    table = folder / "table.csv"
    table.write_bytes(written.replace("{folder}", str(folder)).encode())
    corpus = CorpusConfig(kind="table", path=str(table))
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected) as caught:
            scan(corpus)
        assert str(folder) in str(caught.value)
        return
    came = came_of(corpus)
    assert_good_ones_are_the_same(came, alone)
    ((path, reason),) = expected.items()
    found = came.reasons.pop(path.replace("{folder}", str(folder)))
    assert re.search(reason or "^$", found)
    assert came.reasons == dict.fromkeys(GOOD, THROUGH)


# Indexes

NO_INDEX = (
    r"index\.json (is not the index of a corpus|is not valid JSON).*remove it, and it is writ"
)
INDEXES: dict[str, bytes] = {
    "nothing": b"",
    "the first half": b'{"shards": {"s": "0a1b"}, "transc',
    "no JSON": b"<html>404</html>",
    "UTF-16": "{}".encode("utf-16"),
    "a list": b"[]",
    "null": b"null",
    "no keys": b"{}",
    "no transcripts": b'{"shards": {"s": "0a1b"}}',
    "a key more": b'{"shards": {}, "transcripts": "", "lists": {}}',
    "shards in a list": b'{"shards": ["s"], "transcripts": ""}',
    "a number for a digest": b'{"shards": {"s": 1}, "transcripts": ""}',
    "a number for transcripts": b'{"shards": {}, "transcripts": 5}',
    "a shard that is a path": b'{"shards": {"../s": "0a1b"}, "transcripts": ""}',
}


@pytest.mark.parametrize("row", INDEXES)
def test_damaged_indexes_are_named(row: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(INDEXES[row])
    with pytest.raises(ValueError, match=NO_INDEX) as caught:
        read_index(tmp_path / "index.json")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("spoilt", [b"", b"plain.wav\n", b"\xff\xfe\t\t\n", b"other.flac\t1:2\t"])
def test_damaged_lists_of_a_shard_are_written_anew(spoilt: bytes, folder: Path) -> None:
    corpus, out = CorpusConfig(kind="folder", path=str(folder)), folder.parent / "out"
    whole = index_corpus(corpus, out, 60)
    write_index(whole, out / "index.json")
    for name in ("shards/s.tsv", "transcripts.tsv"):
        (out / name).write_bytes(spoilt)
    assert index_corpus(corpus, out, 60) == whole


# Configurations

# What it is: the file, key words of what is said of it.
FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "with keys at top level"),
    "a list": (b"- corpora\n- experiments\n", "with keys at top level"),
    "a sentence": (b"Speak like me, please\n", "with keys at top level"),
    "a page": (b"<html><body>404</body></html>\n", "with keys at top level"),
    "tabs": (b"corpora:\n\tmine: 1\n", "not valid JSON or YAML"),
    "colons in a row": (b"audio: strict: true\n", "not valid JSON or YAML"),
    "a null byte": (b"audio: \0\n", "not valid JSON or YAML"),
    "an order to run something": (
        b"corpora: !!python/object/apply:os.mkdir ['trap']\n",
        "not valid JSON or YAML",
    ),
    "no sections": (b"{}\n", r"my\.yaml: corpora: Field required\n.*experiments: Field required"),
    "a key that is a number": (b"1: 2\n", r"my\.yaml: 1.*"),
    # Snakemake reads the file, and tells nobody: what stands last counts
    "a key twice": (b"audio: {strict: 1}\naudio: {strct: 1}\n", r"audio\.strct is not a key here"),
}


@pytest.mark.parametrize("row", FILES)
def test_files_that_are_no_configuration(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, expected = FILES[row]
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_bytes(written)
    with pytest.raises((WorkflowError, ValueError), match=expected):
        load_config(load_configfile("my.yaml"), "my.yaml")
    assert not Path("trap").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_configurations_in_another_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("corpora: {mine: {kind: folder, path: Aufnahmen für später}}\n", encoding)
    with pytest.raises(ValueError, match=r"config\.yaml is not UTF-8 \(.*\): save it as UTF-8"):
        check_encoding(path)


def test_no_configuration_is_in_no_other_encoding(tmp_path: Path) -> None:
    check_encoding(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("corpora: {é: 1}\n", "utf-8-sig")
    check_encoding(tmp_path / "config.yaml")


def test_the_default_configuration_in_another_encoding_ends_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("corpora: {}  # für später\n", "latin-1")
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    said = run.stdout + run.stderr
    assert re.search(r"WorkflowError.*\nconfig\.yaml is not UTF-8 .*: save it as UTF-8", said)


@pytest.mark.parametrize("values", [None, [], ["corpora"], "corpora", 5])
def test_a_configuration_that_is_no_mapping(values: Any) -> None:
    with pytest.raises(ValueError, match=r"^my\.yaml: sections belong here, such as `corpora:`"):
        load_config(values, "my.yaml")


SECTION = "a section belongs here"
FINITE = "Input should be a finite number"
NAN, INF = float("nan"), float("inf")
# A key, what stands there, key words of what is said of it.
VALUES: dict[str, tuple[str, Any, str]] = {
    "corpora: a string": ("corpora", "mine", "corpora = 'mine': " + SECTION),
    "corpora: a list": ("corpora", ["mine"], SECTION),
    "corpora: null": ("corpora", None, "corpora = None: " + SECTION),
    "corpora: none": ("corpora", {}, "corpora = {}: .*at least 1"),
    "a corpus: a path": ("corpora.mine", "recordings", "corpora.mine = 'recordings': " + SECTION),
    "a corpus: called null": ("corpora", {None: {}}, "corpora.*not a name"),
    "a corpus: called 1": ("corpora", {1: {}}, "corpora.1.*not a name"),
    "a corpus: called as a path": ("corpora", {"../up": {}}, r"corpora\.\.\./up: not a name"),
    "a path: a number": ("corpora.mine.path", 5, "corpora.mine.path = 5: .*valid string"),
    "a path: a list": ("corpora.mine.path", ["a", "b"], "corpora.mine.path = .*valid string"),
    "a kind: unknown": ("corpora.mine.kind", "zip", "corpora.mine.kind = 'zip': .*'folder'"),
    "languages: a string": ("corpora.mine.languages", "en", "languages = 'en': .*valid list"),
    "audio: null": ("audio", None, "audio = None: " + SECTION),
    "audio: a list": ("audio", [{"strict": True}], SECTION),
    "audio: a number": ("audio", 5, "audio = 5: " + SECTION),
    "loudness: a string": ("audio.loudness", "loud", "audio.loudness = 'loud': .*valid number"),
    "loudness: positive": ("audio.loudness", 20, "audio.loudness = 20: .*less than or equal to -5"),
    "strict: a list": ("audio.strict", [], r"audio.strict = \[\]: .*valid boolean"),
    "seconds: negative": ("audio.min_seconds", -1, "audio.min_seconds = -1: .*greater than 0"),
    "seconds: no number": ("audio.min_seconds", NAN, "audio.min_seconds = nan: " + FINITE),
    "loudness: no end": ("audio.loudness", -INF, "audio.loudness = -inf: " + FINITE),
    "a share: no number": ("split.dev", NAN, "split.dev = nan: " + FINITE),
    "a weight: no end": (
        "experiments.demo.corpora",
        {"mine": INF},
        "corpora.mine = inf: " + FINITE,
    ),
    "a limit: no end": (
        "experiments.demo.limits",
        {"max_seconds": INF},
        "limits.max_seconds = inf: " + FINITE,
    ),
    "a rate: no end": ("experiments.demo.ar.lr", INF, "demo.ar.lr = inf: " + FINITE),
    "a rate: no number": ("experiments.demo.nar.lr", NAN, "demo.nar.lr = nan: " + FINITE),
    "a decay: no end": ("experiments.demo.ar.weight_decay", INF, "weight_decay = inf: " + FINITE),
    "an alpha: no end": ("experiments.demo.ar.lora", {"alpha": INF}, "lora.alpha = inf: " + FINITE),
    "a temperature: no number": ("synthesis", {"temperature": NAN}, "temperature = nan: " + FINITE),
    "a prompt: no end": ("synthesis", {"prompt_seconds": INF}, "prompt_seconds = inf: " + FINITE),
    "a batch: no end": ("evaluation", {"batch_seconds": INF}, "batch_seconds = inf: " + FINITE),
    "minutes: 0": ("audio.shard_minutes", 0, "audio.shard_minutes = 0: .*greater than 0"),
    "a share: 2": ("split.dev", 2, "split.dev = 2: .*less than 1"),
    "a share: negative": ("split.test", -0.1, "split.test = -0.1: .*greater than or equal to 0"),
    "codecs: a string": ("codecs", "world", "codecs = 'world': " + SECTION),
    "a codec: null": ("codecs.world", None, "codecs.world = None: " + SECTION),
    "a codec's seed: negative": ("codecs.world", {"seed": -1}, "codecs.world.seed = -1"),
    "experiments: a list": ("experiments", ["demo"], SECTION),
    "an experiment: null": ("experiments.demo", None, "experiments.demo = None: " + SECTION),
    "an experiment: true": ("experiments.demo", True, "experiments.demo = True: " + SECTION),
    "its corpora: null": ("experiments.demo.corpora", None, "experiments.demo.corpora = None"),
    "its corpora: of lists": ("experiments.demo.corpora", [["mine"]], "experiments.demo.corpora.0"),
    "a weight: negative": ("experiments.demo.corpora", {"mine": -1}, "corpora.mine = -1"),
    "a training: a string": ("experiments.demo.ar", "fast", "demo.ar = 'fast': " + SECTION),
    "steps: a fraction": ("experiments.demo.nar", {"steps": 1.5}, "demo.nar.steps = 1.5"),
    "steps: in words": ("experiments.demo.nar", {"steps": "many"}, "demo.nar.steps = 'many'"),
    "heads: negative": ("experiments.demo.model", {"heads": -4}, "demo.model.heads = -4"),
    "extends: itself": ("experiments.demo.extends", "demo", "goes in a circle: demo -> demo"),
    "extends: null": ("experiments.demo.extends", None, "no experiment is called None"),
    "a seed: negative": ("synthesis", {"seed": -1}, "synthesis.seed = -1"),
    "a sentence: null": ("synthesis", {"extra": [None]}, "synthesis.extra.0 = None"),
    "minutes of a voice: no end": (
        "corpora.mine",
        {"kind": "synthetic", "voices": {"heart": float("inf")}},
        "voices.heart = inf: " + FINITE,
    ),
    "a key: unknown": (
        "audio",
        {"loudnes": -20},
        "audio.loudnes is not a key here. Did you mean lo",
    ),
    "a key: a number": ("audio", {1: -20}, "audio.1"),
}


@pytest.mark.parametrize("row", VALUES)
def test_values_of_the_wrong_kind_are_named_by_their_key(row: str, tmp_path: Path) -> None:
    key, value, expected = VALUES[row]
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(changed(**{key.replace(".", "__"): value})), "utf-8")
    with pytest.raises(ValueError, match=expected) as caught:
        load_config(load_configfile(path), "my.yaml")
    assert all(line.startswith("my.yaml: ") for line in str(caught.value).splitlines())


# Models and codecs

SIZES = ModelConfig("valle", width=32, layers=1, heads=2, text_symbols=11, quantizers=2)
Mend = Callable[[bytes], bytes]


class RunsCode:
    def __reduce__(self) -> Any:
        return os.mkdir, ("trap",)


@cache
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {**AR(SIZES).state_dict(), **NAR(SIZES).state_dict()}


def weights(changed: Callable[[Tensor], Tensor] = torch.clone) -> dict[str, Tensor]:
    return {name: changed(value) for name, value in state().items()}


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a voice consists of, as the workflow leaves it."""
    folder = tmp_path_factory.mktemp("voice")
    save_model(folder / "model", weights(), {"model": SIZES, "codec": {"name": "world"}})
    export_checkpoint(folder / "model", folder / "model.pt")
    codec().save(folder / "codec.safetensors")
    chosen = {"name": "world", "reason": "a test"}
    describe_codec(folder / "codec.json", folder / "codec.safetensors", chosen)
    EspeakTokenizer.build([(SAID, "en")]).save(folder / "tokenizer.json")
    return folder


READ: dict[str, list[Callable[[Path], Any]]] = {
    "model.pt": [lambda path: import_checkpoint(path, path.with_name("imported"), heads=2)],
    "model.safetensors": [lambda path: load_model(path.with_suffix(""))],
    "model.json": [lambda path: load_model(path.with_suffix(""))],
    "codec.safetensors": [WorldCodec.load],
    "codec.json": [load_codec, given_codec],
    "tokenizer.json": [load_tokenizer],
}


def kept(share: float) -> Mend:
    return lambda content: content[: int(share * len(content))]


def instead(content: bytes) -> Mend:
    return lambda _: content


def saved(value: Callable[[], Any], old: bool = False, share: float = 1) -> Mend:
    """A `.pt` in one of the two forms that torch writes, or its beginning."""

    def written(_: bytes) -> bytes:
        file = BytesIO()
        torch.save(value(), file, _use_new_zipfile_serialization=not old)
        return kept(share)(file.getvalue())

    return written


def tensors(changed: Callable[[Tensor], Tensor]) -> Mend:
    return lambda _: save(weights(changed))


def spoilt(value: float) -> Callable[[Tensor], Tensor]:
    """A tensor with one other number in it, and so its twins."""
    return lambda tensor: tensor.index_fill(0, torch.tensor([0]), value)


def header(**values: Any) -> Mend:
    """safetensors of which the header says something else of the first tensor."""

    def lying(content: bytes) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        said = json.loads(content[8 : 8 + length])
        said[min(said)] |= values
        new = json.dumps(said).encode()
        return struct.pack("<Q", len(new)) + new + content[8 + length :]

    return lying


def says(section: str | None = None, **values: Any) -> Mend:
    """JSON with other values; None: without that key."""

    def changed(content: bytes) -> bytes:
        stored = json.loads(content)
        place = stored[section] if section else stored
        place |= values
        for key in [key for key in values if values[key] is None]:
            del place[key]
        return json.dumps(stored).encode()

    return changed


NO_PT = r"model\.pt is not a checkpoint that torch\.load can read"
RUNS = r"model\.pt is refused: reading it would run (posix|nt|os)\.mkdir.*save the dict"
NOT_WHOLE = r"\.safetensors is not a whole safetensors file"
NO_MODEL = r"model\.json does not describe a model"
NO_JSON = r"\.json is not valid JSON"
NO_FIT = r"(?s)model\.safetensors does not fit layout valle of width 32.*"
LOST = r"(ar|nar)_[\w., ]+ and \d+ more hold infinities or what is no number: .*take another copy"
NOT_FINITE = r"model\.safetensors: " + LOST
NO_CODEC = r"codec\.json does not describe a codec: there is no "
NO_TOKENIZER = r"tokenizer\.json (holds no tokenizer|is not a whole espeak tokenizer)"
# What it is: the file, what becomes of it, key words of what is said of it.
MODELS: dict[str, tuple[str, Mend, str]] = {
    "nothing": ("model.pt", kept(0), NO_PT),
    "a beginning": ("model.pt", kept(0.01), NO_PT),
    "a half": ("model.pt", kept(0.5), NO_PT),
    "all but the end": ("model.pt", kept(0.999), NO_PT),
    "a half of the old form": ("model.pt", saved(weights, old=True, share=0.5), NO_PT),
    "a tenth of the old form": ("model.pt", saved(weights, old=True, share=0.1), NO_PT),
    "a page": ("model.pt", instead(b"<html>404</html>"), NO_PT),
    "orders to run something": ("model.pt", saved(lambda: {"model": RunsCode()}), RUNS),
    "orders in the old form": ("model.pt", saved(lambda: {"model": RunsCode()}, old=True), RUNS),
    "orders beside a model": ("model.pt", saved(lambda: {**state(), "x": RunsCode()}), RUNS),
    "orders alone": (
        "model.pt",
        instead(pickle.dumps(RunsCode(), 2)),
        r"model\.pt is refused|" + NO_PT,
    ),
    "no model": ("model.pt", saved(lambda: {"model": {"epoch": 3}}), "these are no tensors: epoch"),
    "other shapes": ("model.pt", saved(lambda: weights(lambda t: t[:1])), r"\.pt does not fit"),
    "whole numbers": ("model.pt", saved(lambda: weights(Tensor.int)), "has torch.int32, no real"),
    "not a number": ("model.pt", saved(lambda: weights(spoilt(NAN))), r"model\.pt: " + LOST),
    "half precision": ("model.pt", saved(lambda: weights(Tensor.half)), THROUGH),
    "safetensors: nothing": ("model.safetensors", kept(0), NOT_WHOLE),
    "safetensors: a half": ("model.safetensors", kept(0.5), NOT_WHOLE),
    "safetensors: a page": ("model.safetensors", instead(b"<html>404 Not Found</html>"), NOT_WHOLE),
    "safetensors: an endless header": (
        "model.safetensors",
        lambda content: struct.pack("<Q", 1 << 62) + content[8:],
        NOT_WHOLE,
    ),
    "safetensors: a header beyond the end": (
        "model.safetensors",
        lambda content: struct.pack("<Q", len(content)) + content[8:],
        NOT_WHOLE,
    ),
    "safetensors: a tensor beyond the end": (
        "model.safetensors",
        header(data_offsets=[0, 10**9]),
        NOT_WHOLE,
    ),
    "safetensors: a tensor before it begins": (
        "model.safetensors",
        header(data_offsets=[-4, 4]),
        NOT_WHOLE,
    ),
    "safetensors: an unknown type": ("model.safetensors", header(dtype="F3"), NOT_WHOLE),
    "safetensors: other shapes": (
        "model.safetensors",
        tensors(lambda t: t[:1].clone()),
        NO_FIT + r"is \(1, 32\), expected",
    ),
    "safetensors: bytes": ("model.safetensors", tensors(Tensor.char), NO_FIT + "no real numbers"),
    "safetensors: complex": (
        "model.safetensors",
        tensors(lambda t: t.to(torch.complex64)),
        NO_FIT + "has torch.complex64, no real numbers",
    ),
    "safetensors: not a number": ("model.safetensors", tensors(spoilt(NAN)), NOT_FINITE),
    "safetensors: infinity": ("model.safetensors", tensors(spoilt(-INF)), NOT_FINITE),
    "safetensors: double precision": ("model.safetensors", tensors(Tensor.double), THROUGH),
    "a model of another size": (
        "model.json",
        says("model", width=64),
        r"does not fit .* of width 64",
    ),
    "a model of later sizes": ("model.json", says("model", experts=4), NO_MODEL + ": .*'experts'"),
    "a model without sizes": ("model.json", says(model=None), NO_MODEL),
    "a width in quotes": ("model.json", says("model", width="32"), NO_MODEL),
    "layers in quotes": ("model.json", says("model", layers="1"), NO_MODEL + ": no whole number"),
    "a width with a dot": ("model.json", says("model", width=32.0), NO_MODEL + ": no whole number"),
    "an endless width": ("model.json", says("model", width=10**9), NO_MODEL + ": width 1000000000"),
    "a width below none": ("model.json", says("model", width=-32), NO_MODEL + ": width -32"),
    "a width beyond numbers": (
        "model.json",
        says("model", width=10**30),
        NO_MODEL + ": width 1000",
    ),
    "layers below none": ("model.json", says("model", layers=-1), NO_MODEL + ": layers -1 .* 1 to"),
    "layers without end": ("model.json", says("model", layers=10**9), NO_MODEL + ": layers 1000"),
    "the NAR's layers without end": (
        "model.json",
        says("model", nar_layers=10**9),
        NO_MODEL + ": nar_layers 1000000000",
    ),
    "the NAR's layers in quotes": (
        "model.json",
        says("model", nar_layers="4"),
        NO_MODEL + ": no w",
    ),
    "heads that do not divide": ("model.json", says("model", heads=3), NO_MODEL + ": .*heads 3"),
    "symbols without end": (
        "model.json",
        says("model", text_symbols=10**9),
        NO_MODEL + ": text_symbols 1000000000",
    ),
    "no symbols": ("model.json", says("model", text_symbols=0), NO_MODEL + ": .*0 text symbols"),
    "quantizers without end": (
        "model.json",
        says("model", quantizers=10**9),
        NO_MODEL + ": quantizers 1000000000",
    ),
    "no quantizers": ("model.json", says("model", quantizers=0), NO_MODEL + ": quantizers 0"),
    "sounds without end": ("model.json", says("model", sounds=10**9), NO_MODEL + ": sounds 100000"),
    "dropout of no number": ("model.json", says("model", dropout=NAN), NO_MODEL + ": dropout nan"),
    "a padding in quotes": ("model.json", says("model", pad="0"), NO_MODEL),
    "no heads": ("model.json", says("model", heads=0), NO_MODEL + ": .*multiple of heads 0"),
    "heads below none": ("model.json", says("model", heads=-2), NO_MODEL + ": .*heads -2"),
    "a later format": ("model.json", says(format=FORMAT + 1), "later version .*Bring revoice up"),
    "a format in words": ("model.json", says(format="new"), "format 'new', of a later version"),
    "the first format": ("model.json", says(format=None, codec=None), THROUGH),
    "a list": ("model.json", instead(b"[1]"), NO_MODEL),
    "JSON cut off": ("model.json", kept(0.5), NO_JSON),
    "JSON in UTF-16": ("model.json", instead("{}".encode("utf-16")), NO_JSON),
    "JSON without bottom": ("model.json", instead(b"[" * 100_000), NO_JSON),
    "a codec cut off": ("codec.safetensors", kept(0.5), "codec" + NOT_WHOLE),
    "a model for a codec": ("codec.safetensors", tensors(torch.clone), "does not hold the code"),
    "codec.json: a list": ("codec.json", instead(b"[]"), NO_CODEC),
    "codec.json: no name": ("codec.json", says(name=None), NO_CODEC + "name"),
    "codec.json: no weights": ("codec.json", says(weights=None), NO_CODEC + "weights"),
    "codec.json: a later codec": ("codec.json", says(name="opus"), "no codec 'opus'.*up to date"),
    "codec.json: of other weights": ("codec.json", says(sha256="0" * 64), "SHA-256"),
    "codec.json: of an older version": (
        "codec.json",
        says(frame_rate=75),
        r"made by another version of revoice, with frame_rate 75; .* remove its folder",
    ),
    "tokenizer.json: a list": ("tokenizer.json", instead(b"[]"), NO_TOKENIZER),
    "tokenizer.json: another's": ("tokenizer.json", says(name="bpe"), NO_TOKENIZER + ".*'bpe'"),
    "tokenizer.json: no symbols": ("tokenizer.json", says(symbols=None), NO_TOKENIZER),
    "tokenizer.json: other symbols": ("tokenizer.json", says(symbols=["a", "b"]), NO_TOKENIZER),
}


def damaged(voice: Path, folder: Path, name: str, mend: Mend) -> Path:
    """A copy of the voice, one of whose files is as `mend` makes it."""
    shutil.copytree(voice, folder)
    (folder / name).write_bytes(mend((folder / name).read_bytes()))
    return folder


@pytest.mark.parametrize("row", MODELS)
def test_damaged_models_are_named_and_never_run(
    row: str, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, mend, expected = MODELS[row]
    monkeypatch.chdir(tmp_path)
    folder = damaged(voice, tmp_path / "voice", name, mend)
    before = {path.name for path in voice.iterdir()}
    for read in READ[name]:
        if expected == THROUGH:
            read(folder / name)
            continue
        with pytest.raises(ValueError, match=expected) as caught:
            read(folder / name)
        assert str(folder) in str(caught.value)
        assert {path.name for path in folder.iterdir()} == before
    assert not Path("trap").exists()


# What lies with a model that an experiment starts from is read while the workflow is planned.
PLANNED: dict[str, tuple[str, Mend, str]] = {
    "all as it was": ("model.json", says(), THROUGH),
    "a model of the first format": ("model.json", says(format=None), THROUGH),
    "a list": ("model.json", instead(b"[]"), NO_MODEL),
    "a codec's name alone": ("model.json", says(codec="world"), NO_MODEL),
    "JSON cut off": ("model.json", kept(0.5), NO_JSON),
    "codec.json: a list": ("codec.json", instead(b"[]"), r"codec\.json does not describe a codec"),
    "codec.json: no name": (
        "codec.json",
        says(name=None),
        r"codec\.json does not describe a codec",
    ),
    "codec.json: cut off": ("codec.json", kept(0.5), NO_JSON),
    "codec.json: another's": ("codec.json", says(name="opus"), "trained with the codec world"),
    "tokenizer.json: a list": ("tokenizer.json", instead(b"[]"), NO_TOKENIZER),
}


@pytest.mark.parametrize("row", PLANNED)
def test_damaged_models_are_named_while_the_workflow_is_planned(
    row: str, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, mend, expected = PLANNED[row]
    monkeypatch.chdir(tmp_path)
    folder = damaged(voice, tmp_path / "voice", name, mend)
    config = load_config(changed(experiments__demo__init=str(folder / "model.safetensors")))
    if expected == THROUGH:
        check_given(config)
        return
    with pytest.raises(ValueError, match=expected) as caught:
        check_given(config)
    assert str(folder) in str(caught.value)


def test_codes_of_an_earlier_version_do_not_say_their_codec(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["cut"] = np.zeros((3, 8), np.int16)
    assert codec_of_codes(tmp_path / "codes.h5") is None
