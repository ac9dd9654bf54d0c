"""The configuration: what it accepts, and what it says of what it does not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from revoice.config import Config
from revoice.config_file import load_config

MINIMAL: dict[str, Any] = {
    "corpora": {"mine": {"kind": "folder", "path": "recordings"}},
    "experiments": {"demo": {"corpora": ["mine"], "ar": {"epochs": 2}, "nar": {"epochs": 1}}},
}


def changed(**values: Any) -> dict[str, Any]:
    """The minimal configuration with values by dotted key, `__` for the dots."""
    config = copy.deepcopy(MINIMAL)
    for key, value in values.items():
        *parents, last = key.split("__")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return config


def complaint(**values: Any) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (what it says is what is tested)
        load_config(changed(**values), "my.yaml")
    return str(error.value)


def test_minimal_configuration_and_defaults() -> None:
    config = load_config(MINIMAL)
    assert isinstance(config, Config)
    assert config.experiments["demo"].ar is not None
    assert config.experiments["demo"].ar.epochs == 2
    assert {name: codec.kind for name, codec in config.codecs.items()} == {
        "encodec": "encodec_24khz",
        "world": "world",
    }
    assert config.codec_of("demo") == "encodec"
    assert config.codecs["encodec"].fallback is None
    assert config.audio.strict is False
    assert config.experiments["demo"].model.text_positions == "symbols"
    assert config.synthesis.nar == "expected"


def test_default_configuration_is_valid(pytestconfig: pytest.Config) -> None:
    path = Path(pytestconfig.rootpath) / "config.yaml"
    config = load_config(yaml.safe_load(path.read_text("utf-8")))
    assert config.codecs["encodec"].fallback == "world"


def test_values_are_not_changed_in_place() -> None:
    values = changed(experiments__second={"extends": "demo"})
    before = copy.deepcopy(values)
    load_config(values)
    assert values == before


def test_numbers_in_yaml_notation_without_a_dot() -> None:
    values = changed(experiments__demo__ar=yaml.safe_load("{epochs: 1, lr: 1e-3}"))
    stage = load_config(values).experiments["demo"].ar
    assert stage is not None
    assert stage.lr == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("values", "key", "near"),
    [
        ({"splits": {}}, "splits", "split"),
        ({"corpora__mine__kinds": "folder"}, "corpora.mine.kinds", "kind"),
        ({"audio__loudnes": -20}, "audio.loudnes", "loudness"),
        ({"experiments__demo__tokeniser": "espeak"}, "experiments.demo.tokeniser", "tokenizer"),
        ({"experiments__demo__ar__epoch": 3}, "experiments.demo.ar.epoch", "epochs"),
        ({"experiments__demo__nar__lora": {"rnk": 4}}, "experiments.demo.nar.lora.rnk", "rank"),
        ({"experiments__demo__model": {"widht": 4}}, "experiments.demo.model.widht", "width"),
    ],
)
def test_unknown_keys_name_near_misses(values: dict[str, Any], key: str, near: str) -> None:
    message = complaint(**values).splitlines()[0]
    assert message.startswith(f"my.yaml: {key} is not a key here. Did you mean {near}")
    assert near in message.split("Keys: ")[1].split(", ")


def test_unknown_key_like_no_other_lists_the_keys() -> None:
    message = complaint(experiments__demo__ar__zzz=1)
    assert "Did you mean" not in message
    assert "Keys: trainable, lora, optimizer" in message


def test_section_named_like_a_key_of_its_own() -> None:
    message = complaint(corpora__kind={"kind": "folder", "path": "x", "speeker": "me"})
    assert "corpora.kind.speeker is not a key here. Did you mean speaker" in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"split__dev": 2}, "split.dev = 2: Input should be less than 1"),
        (
            {"split__by": "words"},
            "split.by = 'words': Input should be 'text', 'speaker' or 'recording'",
        ),
        ({"audio__loudness": "loud"}, "audio.loudness = 'loud': Input should be a valid number"),
        ({"experiments__demo__ar__lr": -1}, "experiments.demo.ar.lr = -1: Input should be greater"),
        ({"corpora__mine__languages": "en"}, "corpora.mine.languages = 'en': Input should be a"),
        ({"corpora__mine__languages": [False]}, "corpora.mine.languages.0 = False: Input should"),
        ({"experiments__demo__corpora": []}, "experiments.demo.corpora = []: "),
        ({"experiments__demo__corpora": {}}, "experiments.demo.corpora = {}: "),
        ({"experiments__demo__corpora": {"mine": 0}}, "experiments.demo.corpora.mine = 0: "),
        ({"experiments__demo__corpora": "mine"}, "experiments.demo.corpora = 'mine': Input sh"),
        ({"experiments__demo__ar": 3}, "experiments.demo.ar = 3: a section belongs here"),
        ({"corpora__mine": None}, "corpora.mine = None: a section belongs here"),
        (
            {"codecs": {"encodec": {"fallback": "opus"}}},
            "codecs.encodec.fallback = 'opus': Input should be 'world'",
        ),
        (
            {"experiments__demo__model": {"text_positions": "words"}},
            "experiments.demo.model.text_positions = 'words': Input should be 'symbols' or",
        ),
        ({"synthesis__nar": "mean"}, "synthesis.nar = 'mean': Input should be 'expected' or"),
        ({"experiments": {}}, "experiments = {}: "),
        (
            {"score__model": "tiny"},
            "score.model = 'tiny': Input should be 'base'; or: String should match pattern '/'",
        ),
        ({"score__whisper_model": "models/tiny"}, "score.whisper_model is called score.model now"),
        ({"corpora__my corpus": {"kind": "asterisk"}}, "corpora.my corpus: not a name"),
        ({"corpora__../up": {"kind": "asterisk"}}, "corpora.../up: not a name"),
    ],
)
def test_wrong_values_are_named_with_what_was_expected(
    values: dict[str, Any], expected: str
) -> None:
    assert complaint(**values).startswith(f"my.yaml: {expected}")


def test_a_synthetic_corpus_has_its_path_from_its_name() -> None:
    spoken = {"kind": "synthetic", "voices": {"heart": 1}}
    config = load_config(changed(corpora__books=spoken | {"path": None}))
    assert config.corpora["books"].path == "results/corpora/books/sentences.csv"
    message = complaint(corpora__books=spoken | {"path": "recordings"})
    assert message == "my.yaml: corpora.books.path: a synthetic corpus has none: leave it out"


def test_missing_section() -> None:
    with pytest.raises(ValueError, match=r"my\.yaml: corpora: Field required"):
        load_config({"experiments": MINIMAL["experiments"]}, "my.yaml")


@pytest.mark.parametrize("value", [5, [5], {"a": 1}])
def test_alternatives_of_a_value_are_no_part_of_its_key(value: Any) -> None:
    message = complaint(experiments__demo__ar__trainable=value)
    assert "literal" not in message
    assert "list[" not in message
    for line in message.splitlines():
        assert line.startswith("my.yaml: experiments.demo.ar.trainable")
    assert "Input should be 'all'" in message


def test_every_fault_has_a_line() -> None:
    message = complaint(split__dev=2, audio__strct=True, experiments__demo__ar__keep=0)
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"corpora__mine": {"kind": "folder"}}, "corpora.mine: a corpus of kind 'folder' needs"),
        ({"corpora__mine__languages": []}, "corpora.mine: `languages` is empty"),
        ({"corpora__mine__languages": ["en", "fr"]}, "corpora.mine: `languages` takes one"),
        ({"split": {"dev": 0.5, "test": 0.5}}, "split: dev + test is 1: nothing is left"),
        ({"split__dev_speakers": ["a"]}, "split: dev_speakers and test_speakers need"),
        ({"experiments__demo__ar__steps": 5}, "experiments.demo.ar: give either `epochs` or"),
        ({"experiments__demo__ar": {}}, "experiments.demo.ar: give either `epochs` or `steps`"),
        (
            {"experiments__demo__ar": {"epochs": 1, "warmup_steps": 1, "warmup_epochs": 1}},
            "experiments.demo.ar: give either `warmup_steps` or `warmup_epochs`, not both",
        ),
        ({"experiments__demo__model": {"width": 10, "heads": 4}}, "experiments.demo.model: width"),
        ({"experiments__demo__nar": None}, "experiments.demo: `init: scratch` needs both"),
        (
            {"experiments__demo__nar__history_noise": 0.1},
            "experiments.demo: nar.history_noise: the NAR",
        ),
        ({"experiments__demo__init": "vallex"}, "experiments.demo: `init: vallex` needs `token"),
        (
            {"experiments__demo__init": "base", "experiments__demo__tokenizer": "vallex"},
            "experiments.demo: `init: base` needs `tokenizer: espeak`",
        ),
        ({"codecs": {"base": {"kind": "world"}}}, "codecs.base: this is the base voice's own"),
        ({"experiments__demo__corpora": ["your"]}, "experiments.demo.corpora: no corpus is called"),
        ({"experiments__demo__corpora": {"your": 1}}, "experiments.demo.corpora: no corpus is cal"),
    ],
)
def test_what_does_not_fit_together(values: dict[str, Any], expected: str) -> None:
    message = complaint(**values)
    assert message.startswith(f"my.yaml: {expected}")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["codec", "base", "recognizers"])
def test_names_that_results_use_are_taken(name: str) -> None:
    experiments = {name: MINIMAL["experiments"]["demo"]}
    assert f"experiments.{name}: this name is taken" in complaint(experiments=experiments)


def test_init_is_an_experiment_a_path_or_a_word() -> None:
    second = {"corpora": ["mine"], "ar": {"epochs": 1}}
    for init in ["demo", "models/other.pt", "other.safetensors"]:
        config = load_config(changed(experiments__second={**second, "init": init}))
        assert config.experiments["second"].init == init
        assert config.experiments["second"].nar is None
    message = complaint(experiments__second={**second, "init": "demo", "tokenizer": "vallex"})
    assert "experiments.second.tokenizer = 'vallex', but demo, which it starts from" in message
    message = complaint(experiments__second={**second, "init": "dmo"})
    assert "experiments.second.init = 'dmo' is neither" in message
    assert "experiments: demo, second" in message


@pytest.mark.parametrize("length", [1, 2, 3])
def test_init_in_a_circle(length: int) -> None:
    stage = {"corpora": ["mine"]}
    experiments = {f"e{i}": {**stage, "init": f"e{(i + 1) % length}"} for i in range(length)}
    names = " -> ".join(f"e{i % length}" for i in range(length + 1))
    assert f"experiments.e0.init goes in a circle: {names}" in complaint(experiments=experiments)


def test_extends_takes_over_section_by_section() -> None:
    config = load_config(
        changed(
            experiments__demo__ar={"epochs": 2, "lr": 0.5, "lora": {"rank": 4}},
            experiments__second={"extends": "demo", "ar": {"seed": 7, "lora": {"alpha": 1}}},
            experiments__third={"extends": "second", "ar": {"lora": None}, "nar": {"lr": 0.25}},
        )
    )
    second, third = config.experiments["second"], config.experiments["third"]
    assert second.ar is not None
    assert second.ar.lora is not None
    assert (second.ar.epochs, second.ar.lr, second.ar.seed) == (2, 0.5, 7)
    assert (second.ar.lora.rank, second.ar.lora.alpha) == (4, 1)
    assert third.ar is not None
    assert third.nar is not None
    assert (third.ar.seed, third.ar.lora, third.nar.epochs, third.nar.lr) == (7, None, 1, 0.25)
    assert third.corpora == ["mine"]


def test_corpora_have_weights() -> None:
    config = load_config(
        changed(
            corpora__yours={"kind": "folder", "path": "other"},
            experiments__demo__corpora={"mine": 3, "yours": 0.5},
            experiments__second={"extends": "demo", "corpora": {"mine": 1}},
            experiments__third={"extends": "demo", "ar": {"seed": 7}},
        )
    )
    weights = {name: experiment.corpora for name, experiment in config.experiments.items()}
    both = {"mine": 3.0, "yours": 0.5}
    assert weights == {"demo": both, "second": {"mine": 1.0}, "third": both}


def test_extends_before_what_it_extends() -> None:
    experiments = {"first": {"extends": "demo"}, **MINIMAL["experiments"]}
    config = load_config(changed(experiments=experiments))
    assert config.experiments["first"] == config.experiments["demo"]


@pytest.mark.parametrize(
    ("below", "above", "left", "gone"),
    [
        ({"epochs": 3}, {"steps": 5}, "steps", "epochs"),
        ({"steps": 3}, {"epochs": 5}, "epochs", "steps"),
        ({"epochs": 1, "warmup_steps": 3}, {"warmup_epochs": 5}, "warmup_epochs", "warmup_steps"),
        ({"epochs": 1, "warmup_epochs": 3}, {"warmup_steps": 5}, "warmup_steps", "warmup_epochs"),
    ],
)
def test_extends_replaces_the_alternative(
    below: dict[str, int], above: dict[str, int], left: str, gone: str
) -> None:
    values = changed(
        experiments__demo__ar=below, experiments__second={"extends": "demo", "ar": above}
    )
    stage = load_config(values).experiments["second"].ar
    assert getattr(stage, left) == 5
    assert getattr(stage, gone) is None


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"extends": "dmo"}, "experiments.second.extends: no experiment is called 'dmo'"),
        ({"extends": ["demo"]}, "experiments.second.extends: no experiment is called ['demo']"),
        ({"extends": "second"}, "experiments.second.extends goes in a circle: second -> second"),
    ],
)
def test_extends_nothing_that_can_be_extended(second: dict[str, Any], expected: str) -> None:
    assert complaint(experiments__second=second).startswith(f"my.yaml: {expected}")


def test_extends_in_a_longer_circle() -> None:
    experiments = {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {"extends": "b"}}
    assert "goes in a circle: a -> b -> c -> b" in complaint(experiments=experiments)


def test_faults_in_what_is_extended_name_both() -> None:
    message = complaint(experiments__demo__ar__lrr=1, experiments__second={"extends": "demo"})
    assert "experiments.demo.ar.lrr is not a key here. Did you mean lr" in message
    assert "experiments.second.ar.lrr is not a key here" in message


def test_an_experiment_takes_the_codec_of_what_it_starts_from() -> None:
    values = changed(experiments__demo__codec="world", experiments__next={"extends": "demo"})
    values["experiments"]["next"] |= {"init": "demo", "codec": "world"}
    values["experiments"]["last"] = {"extends": "next", "init": "next"}
    config = load_config(values)
    assert [config.codec_of(name) for name in ("demo", "next", "last")] == ["world"] * 3
    values["experiments"]["next"]["codec"] = "encodec"
    with pytest.raises(ValueError, match=r"(next|demo), which it starts from"):
        load_config(values)


def test_the_base_voice_brings_its_codec() -> None:
    base = {"corpora": ["mine"], "init": "base"}
    more = {"named": base | {"codec": "base"}, "next": {"corpora": ["mine"], "init": "untrained"}}
    fresh = MINIMAL["experiments"]["demo"] | {"codec": "base"}
    config = load_config(changed(experiments={"untrained": base, "fresh": fresh, **more}))
    assert {config.codec_of(name) for name in config.experiments} == {"base"}
    for experiments in (
        {"demo": base | {"codec": "world"}},
        {"untrained": base, "demo": more["next"] | {"init": "untrained", "codec": "world"}},
    ):
        message = complaint(experiments=experiments)
        assert "experiments.demo.codec = 'world', but " in message
        assert "which it starts from, has 'base'" in message


@pytest.mark.parametrize("codec", ["world", "base"])
@pytest.mark.parametrize("init", ["vallex", "models/theirs.pt"])
def test_an_original_model_needs_the_codec_that_it_was_trained_on(init: str, codec: str) -> None:
    values = {"tokenizer": "vallex", "init": init, "codec": codec}
    message = complaint(**{f"experiments__demo__{key}": value for key, value in values.items()})
    assert "was trained on EnCodec's codes" in message
    assert "set `codec: encodec`" in message


def test_names_of_codecs() -> None:
    message = complaint(experiments__demo__codec="opus")
    assert "experiments.demo.codec: no codec is called 'opus'; there are encodec, world" in message
    message = complaint(codecs={"world": {"fit": ["theirs"]}})
    assert "codecs.world.fit: no corpus is called 'theirs'" in message
    assert "codecs.mine: " not in str(load_config(changed(codecs={"mine": {"kind": "world"}})))


@pytest.mark.parametrize(("kind", "name"), [("encodec_24khz", "encodec"), ("world", "world")])
def test_the_outdated_section_is_the_one_codec_of_all(
    kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = changed(codec={"name": kind, "seed": 7}, experiments__more={"extends": "demo"})
    config = load_config(old)
    assert {config.codec_of(experiment) for experiment in config.experiments} == {name}
    assert config.codecs[name].seed == 7
    assert "`codec` is outdated" in caplog.text
    assert "outdated form of `codecs`" in complaint(codec={"name": kind}, codecs={})
