"""The configuration file: read, completed, checked, its faults told in a person's words."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError

from revoice.config import Config, SynthesisConfig
from revoice.config_training import Section

log = logging.getLogger(__name__)

RENAMED = {"score.whisper_model": "score.model"}


def check_encoding(path: str | Path) -> None:
    """Raise ValueError where a file is there and not in UTF-8, as Snakemake reads it."""
    try:
        Path(path).read_text("utf-8")
    except OSError:  # Snakemake says so
        return
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None


def load_config(values: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """The configuration as a checked, typed value.

    `extends: other` in an experiment takes over what `other` says and changes what differs.

    Raises:
        ValueError: one line per fault with the key, what it is and what was expected.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{source}: sections belong here, such as `corpora:`, not {values!r}")
    values = _one_codec(values, source)
    experiments = values.get("experiments")
    if isinstance(experiments, Mapping):
        values["experiments"] = {name: _extended(name, experiments, source) for name in experiments}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ValueError(_explained(error, source)) from None


def load_synthesis(values: Mapping[str, Any], source: str) -> SynthesisConfig:
    """The section `synthesis` alone, from another place; ValueError as `load_config`."""
    try:
        return SynthesisConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(_explained(error, source, "synthesis")) from None


def _explained(error: ValidationError, source: str, *within: str) -> str:
    """All faults, a line each; `within`: the keys of the section that they are found in."""
    faults: dict[str, str] = {}  # what is wrong of each key, by all that it could have been
    for fault in error.errors():
        subject, message = _explain({**fault, "loc": (*within, *fault["loc"])})
        faults[subject] = f"{faults[subject]}; or{message}" if subject in faults else message
    return "\n".join(f"{source}: {subject}{message}" for subject, message in faults.items())


def _one_codec(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values with an outdated section `codec` understood as the one codec of all."""
    if "codec" not in values:
        return dict(values)
    values = dict(values)
    codec = values.pop("codec")
    if "codecs" in values:
        raise ValueError(f"{source}: `codec` is the outdated form of `codecs`; give one of them")
    if not isinstance(codec, Mapping):
        raise ValueError(f"{source}: codec = {codec!r}: name codecs in a section `codecs`")
    kind = codec.get("name", codec.get("kind", "encodec_24khz"))
    name = "world" if kind == "world" else "encodec"
    rest = {key: value for key, value in codec.items() if key not in ("name", "kind")}
    log.warning(
        "%s: the section `codec` is outdated, write `codecs: {%s: ...}` and `codec: %s` in each "
        "experiment; it is taken as the codec of all",
        *(source, name, name),
    )
    experiments = values.get("experiments")
    if isinstance(experiments, Mapping):
        values["experiments"] = {
            key: {**experiment, "codec": experiment.get("codec") or name}
            if isinstance(experiment, Mapping) and "extends" not in experiment
            else experiment
            for key, experiment in experiments.items()
        }
    return values | {"codecs": {name: {"kind": kind, **rest}}}


def _extended(
    name: str, experiments: Mapping[str, Any], source: str, seen: tuple[str, ...] = ()
) -> Any:
    """An experiment's values over those that it extends, section by section."""
    own = experiments[name]
    if not isinstance(own, Mapping) or "extends" not in own:
        return own
    base = own["extends"]
    if not isinstance(base, str) or base not in experiments:
        raise ValueError(
            f"{source}: experiments.{name}.extends: no experiment is called {base!r}; "
            f"experiments: {', '.join(map(str, experiments))}"
        )
    if base in (*seen, name):
        chain = " -> ".join((*seen, name, base))
        raise ValueError(f"{source}: experiments.{name}.extends goes in a circle: {chain}")
    below = _extended(base, experiments, source, (*seen, name))
    return _merged(below, {key: value for key, value in own.items() if key != "extends"})


# Of each pair one is given: what an experiment says of one takes the place of the other.
_ALTERNATIVES = {
    "epochs": "steps",
    "steps": "epochs",
    "warmup_steps": "warmup_epochs",
    "warmup_epochs": "warmup_steps",
}
_WHOLE = {"corpora"}  # taken over, or said anew


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    kept = {key: value for key, value in below.items() if _ALTERNATIVES.get(key) not in above}
    return kept | {
        key: value if key in _WHOLE else _merged(kept.get(key), value)
        for key, value in above.items()
    }


def _explain(fault: Any) -> tuple[str, str]:
    """One fault in a person's words: `split.dev = 2`, `: Input should be less than 1`."""
    # pydantic names the branch of a union that it tried; those are no keys of the file
    location = [
        part
        for part in fault["loc"]
        if not str(part).startswith(("literal[", "list[", "dict[", "constrained-str"))
        and part != "[key]"
    ]
    key = ".".join(str(part) for part in location)
    if fault["loc"] and fault["loc"][-1] == "[key]":
        return key, ": not a name: letters, digits, _ . and - make one, a letter or digit first"
    if fault["type"] == "extra_forbidden" and key in RENAMED:
        return key, f" is called {RENAMED[key]} now"
    if fault["type"] == "extra_forbidden":
        section = _section(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), section, 3, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return key, f" is not a key here.{hint} Keys: {', '.join(section)}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in {"model_type", "dict_type"}:
        message = "a section belongs here, with a line `key: value` for each of its keys"
    if not key:
        return "", message
    if fault["type"] in {"missing", "value_error"}:
        return key, f": {message}"
    return f"{key} = {fault['input']!r}", f": {message}"


def _section(location: list[Any]) -> list[str]:
    """The keys that the section at `location` knows."""
    annotation: Any = Config
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, Section):
            annotation = annotation.model_fields[part].annotation
        else:  # dict[Name, X]: the part is the name of a corpus or an experiment
            annotation = get_args(annotation)[-1]
        if NoneType in get_args(annotation):  # X | None
            annotation = get_args(annotation)[0]
    return list(annotation.model_fields)
