"""Digests of code: what they see and what not, and whether the rules' lists are right."""

import subprocess
import sys
from pathlib import Path

import pytest

from revoice.workflow import code
from revoice.workflow.code import CODECS, READS, codec_code, digest_of, meaning
from tests.helpers.reach import Reach

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = {path.stem: path for path in (ROOT / "scripts").glob("*.py")}
# What a script reaches and yet cannot change what it writes.
HARMLESS = {
    "codec": "checks, and says what is wrong",
    "codec.standin": "for what is never called",
    "config": "values come through params, which Snakemake compares",
    "config_recordings": "as do these",
    "config_training": "as do these",
    "devices": "where it is computed",
    "download": "what arrives is compared with its digest",
    "files": "how a file is written and read",
    "locking": "who may write",
    "workflow.scripts": "logging",
}
# Of a tokenizer these use its table alone, which is an input of theirs.
TABLE_ALONE = {rule: {"text.framing"} for rule in ("assemble", "evaluate", "select_cuts", "train")}
TABLE_ALONE["import_checkpoint"] = {"text", "text.tokens", "text.vallex"}  # the published one
# These use the names of the parts alone.
NAMES_ALONE = ("tabulate", "summarize")
# What these read of a codec is in its file.
FILE_ALONE = ("select_cuts", "train")
SOURCE = '''
"""What it is for."""
from typing import Any
from collections.abc import Iterable, Sequence
import re

LIMIT: int = 3  # of something


class Kept:
    """Doc."""

    field: int = 0

    def method(self, x: int, *rest: Any, key: str = "a") -> str:
        """Doc."""
        count: int = x + 1
        text: str
        text = f"{count:>{LIMIT}} of " f"{rest!r}"
        return text if key else re.escape("b" "c")


def function(values: Iterable[int]) -> list[int]:
    """Doc."""
    return [v for v in values if v > LIMIT]
'''
SAME = {
    "a comment": ("# of something", "# something else"),
    "a docstring": ('"""What it is for."""', '"""Another."""'),
    "no docstring": ('        """Doc."""\n', ""),
    "blank lines": ("\n\n\nclass", "\nclass"),
    "formatting": ('"b" "c"', '(\n            "bc"\n        )'),
    "quotes": ('key: str = "a"', "key: str = 'a'"),
    "annotation of an argument": ("x: int, *rest: Any", "x: float, *rest"),
    "annotation of a result": (") -> str:", "):"),
    "annotation of a variable": ("count: int = x", "count = x"),
    "a variable that is only declared": ("        text: str\n", ""),
    "imports for annotations": ("Iterable, Sequence", "Iterable, Mapping"),
    "an f-string in one piece": ('} of " f"{rest', "} of {rest"),
}
OTHER = {
    "a number": ("LIMIT: int = 3", "LIMIT: int = 4"),
    "a default": ('key: str = "a"', 'key: str = "b"'),
    "an operator": ("v > LIMIT", "v >= LIMIT"),
    "a text": ('"c"', '"d"'),
    "a format": (":>{LIMIT}", ":<{LIMIT}"),
    "a conversion": ("!r", ""),
    "annotation in a class body": ("field: int = 0", "field: float = 0"),
    "a field more": ("field: int = 0", "field: int = 0\n    more: int"),
    "an import that is used": ("import re\n", "import regex as re\n"),
    "a decorator": ("    def method", "    @staticmethod\n    def method"),
    "a name": ("def function", "def other"),
}


def edited(old: str, new: str) -> str:
    assert old in SOURCE
    return SOURCE.replace(old, new)


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME)
def test_what_does_not_count(edit: tuple[str, str]) -> None:
    assert meaning(edited(*edit)) == meaning(SOURCE)


@pytest.mark.parametrize("edit", OTHER.values(), ids=OTHER)
def test_what_counts(edit: tuple[str, str]) -> None:
    assert meaning(edited(*edit)) != meaning(SOURCE)


def interpreters() -> list[Path]:
    """Other versions of Python on this machine."""
    found = [*Path("/usr/bin").glob("python3.1[1-9]"), *Path.home().glob(".pyenv/versions/*/bin")]
    paths = [path / "python" if path.is_dir() else path for path in found]
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    return [path for path in paths if not subprocess.run([path, "-c", code]).returncode]


def test_every_version_of_python_reads_the_same() -> None:
    if not interpreters():
        pytest.skip("no other Python is here")
    program = (
        "import hashlib, pathlib, sys; from revoice.workflow.code import meaning\n"
        "for p in sorted(pathlib.Path(sys.argv[1]).rglob('*.py')):\n"
        "    print(p, hashlib.sha256(meaning(p.read_text('utf-8')).encode()).hexdigest())\n"
    )
    results = {
        subprocess.run(
            [path, "-c", program, ROOT / "revoice"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for path in {Path(sys.executable), *interpreters()}
    }
    assert len(results) == 1


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that may change."""
    for name in ("one.py", "room/__init__.py", "room/two.py", "room/data.json"):
        path = tmp_path / "revoice" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "revoice")
    return tmp_path / "revoice"


def test_a_digest_is_that_of_the_modules_named_and_no_other(package: Path) -> None:
    def digests() -> list[str]:
        code._digest.cache_clear()
        return [digest_of(name) for name in ("one", "room", "room.two", "room/data.json")]

    before = digests()
    for place, name in enumerate(("one.py", "room/__init__.py", "room/two.py", "room/data.json")):
        (package / name).write_text("2\n")
        after = digests()
        assert [a != b for a, b in zip(before, after, strict=True)] == [
            i == place for i in range(4)
        ]
        before = after
    assert digest_of("one", "room") == digest_of("room", "one", "room")
    with pytest.raises(ModuleNotFoundError, match=r"room\.three is nothing in revoice"):
        digest_of("room.three")


def test_of_a_codec_only_what_is_in_use_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = dict.fromkeys((*CODECS["world"].split(), *CODECS["encodec_24khz"].split()), "old")
    monkeypatch.setattr(code, "digest_of", lambda *names: "+".join(digests[n] for n in names))
    first = codec_code("encodec_24khz", "world", None)
    assert set(first) == {"encodec_24khz", "world"}
    made = {"name": "encodec_24khz", "code": first}
    digests["codec.world"] = "new"
    assert codec_code("encodec_24khz", "world", made) == first
    digests["codec.encodec"] = "new"
    assert codec_code("encodec_24khz", "world", made) == {**first, "encodec_24khz": "new+old"}
    stepped_in = {"name": "world", "code": first}
    assert codec_code("encodec_24khz", "world", stepped_in) == {**first, "world": "old+new+old"}


@pytest.mark.parametrize("rule", READS)
def test_a_rule_lists_what_its_script_reaches(rule: str) -> None:
    reached = Reach(SCRIPTS[rule]).modules - set(HARMLESS)
    if rule in TABLE_ALONE:
        reached -= {m for m in reached if m.split(".")[0] == "text"} - TABLE_ALONE[rule]
    if rule in NAMES_ALONE:
        reached = {module for module in reached if module.split(".")[0] != "model"}
    listed = {name for name in READS[rule].split() if "/" not in name}
    of_codecs = {module for modules in CODECS.values() for module in modules.split()}
    if rule in FILE_ALONE:
        reached -= of_codecs
    assert reached - of_codecs == listed
    rules = "".join(path.read_text("utf-8") for path in (ROOT / "rules").glob("*.smk"))
    assert f'code_of("{rule}")' in rules
    if reached & of_codecs:
        body = rules[rules.index(f"rule {rule}:") :].split("\nrule ")[0]
        assert "codec_settings(" in body, "the codec in use counts as well"


def test_every_script_has_a_list() -> None:
    """But the index's, whose digest says what it writes, and those of what is got once."""
    without = {"index", "fetch_codec", "fetch_decoder", "fetch_pretrained", "fetch_recipe"}
    without |= {"fetch_recognizer", "fetch_voices"}
    assert set(READS) == set(SCRIPTS) - without
