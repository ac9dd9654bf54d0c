"""Write docs/config.md and config.schema.json from revoice/config*.py: `make docs`."""

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from revoice.config import Config

ROOT = Path(__file__).resolve().parents[1]
EXTENDS = "another experiment, whose values are taken over where this one says nothing else"
INTRODUCTION = """# Every key of the configuration

`make docs` writes this page and `config.schema.json` from `revoice/config*.py`. Editors that know
YAML schemas complete keys and mark wrong ones; the first line of `config.yaml` tells them where it
is. Sections and keys that have a default may be left out.
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file, as it is before `extends` is resolved."""
    described = without_titles(Config.model_json_schema())
    experiment = described["$defs"]["ExperimentConfig"]
    extends = {"type": "string", "description": EXTENDS}
    experiment["properties"] = {"extends": extends} | experiment["properties"]
    experiment["anyOf"] = [{"required": ["extends"]}, {"required": experiment.pop("required")}]
    for name in ("corpora", "codecs", "experiments"):
        described["properties"][name]["additionalProperties"] = False
    # encodec and world are known without it; of other names the run says that it is missing
    described["$defs"]["CodecConfig"].pop("required")
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "Configuration of revoice"} | described


def without_titles(value: Any, names: bool = False) -> Any:
    """A schema without titles, which repeat names, and without sections as defaults.

    Args:
        names: the keys of `value` are names that the configuration chose: a `title` is kept.
    """
    if isinstance(value, list):
        return [without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_titles(item, names=key in {"properties", "$defs"})
        for key, item in value.items()
        if names or not (key == "title" or (key == "default" and isinstance(item, dict)))
    }


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Each section with its path in the file, `experiments.NAME.ar`, and below it those in it."""
    yield path, model
    for key, field in model.model_fields.items():
        below = f"{path}.{key}".removeprefix(".")
        for annotation in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                named = typing.get_origin(field.annotation) is dict
                yield from sections(annotation, f"{below}.NAME" if named else below)


def type_of(value: dict[str, Any]) -> str:
    """What a key takes, in words: `number > 0, or null`."""
    if "$ref" in value:
        return "section"
    if "patternProperties" in value:
        (named,) = value["patternProperties"].values()
        return "section" if "$ref" in named else f"name: {type_of(named)}"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if choices := value.get("anyOf") or value.get("oneOf"):
        return ", or ".join(map(type_of, choices))
    if value["type"] == "array":
        return f"list of {type_of(value['items'])}s"
    if value["type"] == "object":
        return f"name: {type_of(value['additionalProperties'])}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return " ".join([value["type"], *bounds])


def row(key: str, value: dict[str, Any], required: bool) -> str:
    takes, default = type_of(value), "required" if required else ""
    if "default" in value and takes != "section":  # a section's defaults stand in its own table
        default = f"`{json.dumps(value['default'])}`"
    return f"| {' | '.join([f'`{key}`', takes, default, value['description']])} |"


def reference() -> str:
    """docs/config.md: for each section a table of its keys."""
    described = Config.model_json_schema()
    paths: dict[str, list[str]] = {}
    models = {}
    for path, model in sections(Config):
        paths.setdefault(model.__name__, []).append(path)
        models[model.__name__] = model
    parts = [INTRODUCTION]
    for name, where in paths.items():
        known = described if name == "Config" else described["$defs"][name]
        parts.append(f"## {', '.join(f'`{path}`' if path else 'The file' for path in where)}\n")
        parts.append(f"{known['description']}\n")
        rows = [
            row(key, value, key in known.get("required", []))
            for key, value in known["properties"].items()
        ]
        if name == "ExperimentConfig":
            rows.insert(0, f"| `extends` | string | | {EXTENDS} |")
        parts.append("\n".join(["| key | takes | default | |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def files() -> dict[Path, str]:
    """The files that are made, with what they should hold."""
    return {
        ROOT / "docs/config.md": reference(),
        ROOT / "config.schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
