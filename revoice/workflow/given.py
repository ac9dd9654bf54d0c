"""Whether what is given fits together: models and experiments that start from them, splits."""

import os
from pathlib import Path

from revoice.codec import check_codec, differences, in_words
from revoice.config import STARTS, Config
from revoice.files import read_json
from revoice.text import load_tokenizer
from revoice.workflow import experiments


def check_given(config: Config) -> None:
    """That models fit the experiments that start from them, as far as files tell by now.

    Raises ValueError: no base voice, no symbol table, one of another tokenizer, codes of another
    codec, a path to what an experiment leaves; `early_stopping` where nothing is validated; Vocos
    where nothing has EnCodec's codes.
    """
    for name, experiment in config.experiments.items():
        for part, train in (("ar", experiment.ar), ("nar", experiment.nar)):
            if train and train.early_stopping and not experiments.validated(config):
                raise ValueError(
                    f"experiments.{name}.{part}.early_stopping looks at the dev split, and "
                    "`split: {dev: 0}` leaves none: set it to null"
                )
        if "base" in (experiment.init, experiment.codec):
            _check_base(name)
        if experiment.init not in {*STARTS, *config.experiments}:
            _check_path(config, name)
            _check_beside(config, name)
            _check_table(config, name)
        _check_codec(config, name)
    decoded = any(experiments.decoder_of(config, name) for name in config.experiments)
    if config.synthesis.decoder == "vocos" and not decoded:
        raise ValueError(
            "synthesis.decoder: vocos makes sound of EnCodec's codes, and the codec of every "
            "experiment is WORLD, which has a decoder of its own: leave the key out, or set "
            "`codec: encodec` for one that starts from nothing"
        )
    for codec in config.codecs:
        if (needing := experiments.need_encodec(config, codec)) and experiments.made(
            codec, "choice.json"
        ).get("name") == "world":
            raise ValueError(
                f"experiments.{needing[0]} starts from a model that was trained on EnCodec's codes,"
                f" but codecs.{codec} has become WORLD, as EnCodec's weights could not be had. Name"
                f" a codec of its own for the experiment, or remove results/codecs/{codec} to try "
                "again"
            )


def _check_base(name: str) -> None:
    beside = ("model.json", "tokenizer.json", "codec.json", "codec.safetensors")
    for path in (experiments.BASE, *map(experiments.BASE.with_name, beside)):
        if not path.is_file():
            raise ValueError(
                f"experiments.{name} takes the base voice, and {os.path.relpath(path)} is not "
                "there: put a packed voice into its folder (config/base.yaml makes one), or set "
                "`init: scratch` and a codec other than base"
            )


def _check_path(config: Config, name: str) -> None:
    init = config.experiments[name].init
    folder, *inside = Path(os.path.normpath(init)).parts
    if folder == "results" and inside and inside[0] in config.experiments:
        raise ValueError(
            f"experiments.{name}.init = {init!r} is what an experiment here leaves: write "
            f"`init: {inside[0]}`"
        )


def _check_beside(config: Config, name: str) -> None:
    model = Path(config.experiments[name].init).with_suffix(".json")
    codec = model.with_name("codec.json")
    found = read_json(model) if model.is_file() else {}
    if not isinstance(found, dict) or not isinstance(found.get("codec") or {}, dict):
        raise ValueError(f"experiments.{name}.init: {model} does not describe a model")
    found = read_json(codec) if codec.is_file() else {"name": ""}
    if not isinstance(found, dict) or "name" not in found:
        raise ValueError(f"experiments.{name}.init: {codec} does not describe a codec")


def _check_table(config: Config, name: str) -> None:
    experiment, table = config.experiments[name], experiments.symbol_table(config, name)
    init, where = experiment.init, f"experiments.{name}"
    try:
        found = load_tokenizer(table).name if table else "vallex"
    except ValueError as error:
        raise ValueError(f"{where}.init: {error}") from None
    if not table and experiment.tokenizer != found:
        own = init.endswith(".safetensors")
        missing = Path(init).parent / ("tokenizer.json" if own else experiments.K2SYMBOLS)
        raise ValueError(
            f"{where}: `init: {init}` with `tokenizer: espeak` needs the symbol table that the "
            f"model was trained with: put it at {missing}"
        )
    if experiment.tokenizer != found:
        raise ValueError(
            f"{where}: {table} is a table of the tokenizer {found}: set `tokenizer: {found}`"
        )


def _check_codec(config: Config, name: str) -> None:
    init, where = experiments.start(config, name), f"experiments.{name}"
    codec = experiments.codec_of(config, name)
    if init in config.experiments and experiments.codec_of(config, init) != codec:
        raise ValueError(
            f"{where}.codec = {codec!r}, but {init}, which it starts from, has "
            f"{experiments.codec_of(config, init)!r}: the same code would mean another sound"
        )
    said = experiments.codec_said(init)
    if said and codec not in config.codecs:
        check_codec(read_json(experiments.given_codecs(config)[codec]), {"codec": said}, init)
    there = experiments.made(codec, "codec.json")
    known = there or ({"name": config.codecs[codec].kind} if codec in config.codecs else {})
    unknown = known.get("name") == "world" and "sha256" in said and not there
    moved = "like" in known and known["like"] == said.get("sha256")
    if said and known and not moved and (unknown or differences(known, said)):
        raise ValueError(
            f"{where}: `init: {init}` was trained on codes of {in_words(said)}, and codecs.{codec} "
            f"is {in_words(known)}. Put the codec.json and codec.safetensors of that model beside "
            "it, and name no codec in the experiment"
        )
