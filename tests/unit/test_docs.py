"""Documentation that is made from code is current, and what else it says is so."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from revoice.config_file import load_config

ROOT = Path(__file__).resolve().parents[2]
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
