"""Documentation that is made from code is current, and what else it says is so."""

import importlib.util
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from revoice.config_file import load_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
SHIPPED = [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The program docs/make_config.py."""
    spec = importlib.util.spec_from_file_location("make_config", ROOT / "docs/make_config.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(schema: dict[str, Any], values: Any) -> list[str]:
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(values)]


def test_reference_and_schema_are_current(made: ModuleType) -> None:
    for path, text in made.files().items():
        assert path.read_text("utf-8") == text, f"{path.name} is outdated: make docs"


def test_every_key_is_described(made: ModuleType) -> None:
    for _, section in made.sections(made.Config):
        assert section.__doc__
        for key, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{key}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_follow_the_schema(made: ModuleType, path: Path) -> None:
    text = path.read_text("utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (path.parent / named[1]).resolve() == ROOT / "config.schema.json"
    Draft202012Validator.check_schema(made.schema())
    assert not faults(made.schema(), yaml.safe_load(text))
    load_config(yaml.safe_load(text))


CORPORA = {"mine": {"kind": "folder", "path": "recordings"}}


@pytest.mark.parametrize(
    ("experiment", "wrong"),
    [
        ({"corpora": ["mine"], "ar": {"epochs": 1}}, []),
        ({"extends": "other"}, []),
        ({"ar": {"epochs": 1}}, ["$.experiments.demo"]),
        ({"corpora": ["mine"], "ar": {"epoch": 1}}, ["$.experiments.demo.ar"]),
        ({"corpora": ["mine"], "tokenizer": "espeek"}, ["$.experiments.demo.tokenizer"]),
    ],
)
def test_schema_knows_extends_and_wrong_keys(
    made: ModuleType, experiment: dict[str, Any], wrong: list[str]
) -> None:
    values = {"corpora": CORPORA, "codecs": {"world": {}}, "experiments": {"demo": experiment}}
    assert faults(made.schema(), values) == wrong
    assert faults(made.schema(), values | {"experiments": {"a b": experiment}})


def merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def test_configurations_in_the_readme_are_valid(made: ModuleType) -> None:
    """Each as an edit of config.yaml, and of those before it."""
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.S)
    assert len(blocks) >= 3
    values = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    for block in blocks:
        values = merged(values, yaml.safe_load(block))
        assert not faults(made.schema(), values), block
        load_config(values)


@pytest.mark.parametrize("page", PAGES)
def test_what_pages_name_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target}"
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / link).exists(), link
    folders = "revoice|rules|scripts|tests|docs|config|envs|profiles"
    for path in re.findall(rf"(?<![\w/}}])((?:{folders})/[\w./-]*\w/?)(?=[]`\s:,;.)])", text):
        assert (ROOT / path.replace("X", "corpus")).exists(), path


def test_map_has_every_room() -> None:
    mapped = set(re.findall(r"^\| `revoice/(\w+)/`", README, re.M))
    assert mapped == {path.parent.name for path in (ROOT / "revoice").glob("*/__init__.py")}


def test_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
