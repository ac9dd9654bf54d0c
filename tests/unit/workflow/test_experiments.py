"""What an experiment reads and where it lies."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest

from revoice.config import Config, Part, ScoreConfig, SynthesisConfig
from revoice.config_file import load_config
from revoice.workflow import experiments as of
from revoice.workflow.given import check_given

TRAINED = {"ar": {"epochs": 1}, "nar": {"epochs": 1}}
BASE = {"corpora": ["mine"], **TRAINED}


def config(synthesis: dict[str, Any] | None = None, **experiments: Any) -> Config:
    """A configuration of two corpora and these experiments."""
    corpora = {name: {"kind": "folder", "path": name} for name in ("mine", "theirs")}
    values = {name: BASE | values for name, values in experiments.items()}
    return load_config({"corpora": corpora, "experiments": values, "synthesis": synthesis or {}})


def test_experiments_with_the_same_data_share_a_text() -> None:
    both = {"corpora": ["mine", "theirs"]}
    made = config(a={}, b={"nar": {"steps": 3}}, c=both, d={"tokenizer": "vallex"})
    assert [of.text_of(made, name) for name in "abcd"] == [
        "mine.espeak",
        "mine.espeak",
        "mine+theirs.espeak",
        "mine.vallex",
    ]
    assert of.tokenizer_of(made, "a") == "results/text/mine.espeak/tokenizer.json"


def test_a_table_goes_on_through_experiments() -> None:
    made = config(a={}, b={"init": "a"}, c={"init": "b"})
    assert of.symbol_table(made, "a") is None
    assert of.symbol_table(made, "b") == of.tokenizer_of(made, "a")
    assert of.text_of(made, "b") == "mine.espeak@a"
    assert of.symbol_table(made, "c") == "results/text/mine.espeak@a/tokenizer.json"
    made = config(
        a={"tokenizer": "vallex", "init": "vallex"}, b={"tokenizer": "vallex", "init": "a"}
    )
    assert of.symbol_table(made, "b") is None, "the published table needs no file"
    assert of.text_of(made, "a") == of.text_of(made, "b") == "mine.vallex"


def test_thirty_corpora_of_64_letters_make_a_name_of_a_file() -> None:
    names = [f"{letter}{number:02d}" + letter * 61 for number in range(15) for letter in "xy"]
    corpora = {name: {"kind": "folder", "path": name} for name in names}
    language = {"new_languages": {"de": "mean"}, "init": "vallex", "tokenizer": "vallex"}
    experiment = BASE | {"corpora": names} | language
    made = load_config({"corpora": corpora, "experiments": {"all": experiment}})
    assert len(of.text_of(made, "all").encode()) < 200
    fewer = load_config(
        {"corpora": corpora, "experiments": {"all": experiment | {"corpora": names[:-1]}}}
    )
    assert of.text_of(made, "all") != of.text_of(fewer, "all")


def test_what_a_part_starts_from() -> None:
    made = config(
        a={},
        b={"init": "a"},
        c={"init": "vallex", "tokenizer": "vallex"},
        d={"init": "models/theirs.pt", "tokenizer": "vallex"},
        e={"init": "models/voice/model.safetensors"},
    )
    starts = [of.initial_model(made, name, "ar") for name in "abcde"]
    theirs = of.given_name("models/theirs.pt")
    assert starts == [
        None,
        "results/a/ar/model.safetensors",
        "results/pretrained/vallex/model.safetensors",
        f"results/pretrained/{theirs}/model.safetensors",
        "models/voice/model.safetensors",
    ]
    assert theirs.startswith("theirs-")
    assert of.given_name("models/voice/model.safetensors").startswith("voice-")
    assert of.given_name("a/x.pt") != of.given_name("b/x.pt")
    assert of.given_name("a/../b/x.pt") == of.given_name("b/x.pt")
    voice = of.given_name("models/voice/model.safetensors")
    assert of.given_models(made) == {"vallex": ["c"], theirs: ["d"], voice: ["e"]}


def test_who_hears_the_scores() -> None:
    def hearing(**score: str | None) -> Config:
        return config(a={}).model_copy(update={"score": ScoreConfig(**score)})

    made = hearing()
    assert of.whisper_of(made) == "base"
    assert of.whisper_files(made, "base") == []
    made = hearing(model="models/small/")
    name = of.whisper_of(made)
    assert name
    assert name.startswith("small-")
    assert of.whisper_files(made, name) == ["models/small/model.bin"]
    assert of.whisper_files(made, "base") == []  # a synthetic corpus's
    for other in ("pocketsphinx", None):
        assert of.whisper_of(hearing(recognizer=other, model="models/small")) is None


@pytest.mark.parametrize(("repeats", "told"), [(1, 7), (3, "7 to 9")])
def test_seeds_of_syntheses_are_told(repeats: int, told: int | str) -> None:
    synthesis = SynthesisConfig(seed=7, repeats=repeats)
    assert of.synthesis_seeds(config(a={}).model_copy(update={"synthesis": synthesis})) == told


def test_weights_are_told() -> None:
    made = config(a={})
    assert of.weights_of(made, "a") is None
    assert of.corpora_in_words(made, "a") == " + ".join(made.experiments["a"].corpora)
    name = next(iter(made.corpora))
    weighed = config(a={"corpora": {name: 2.5}})
    assert of.training_params(weighed, "a", "nar")["weights"] == {name: 2.5}
    assert of.corpora_in_words(weighed, "a") == f"{name} (weight 2.5)"
    assert of.text_of(weighed, "a").startswith(f"{name}.")


def test_an_evaluation_reads_what_the_trainings_start_from() -> None:
    de = {"new_languages": {"de": "en"}, "init": "vallex", "tokenizer": "vallex"}
    made = config(a={}, b={"init": "a"}, c=de | {"ar": {"epochs": 1, "seed": 5}, "nar": None})
    assert of.evaluated_from(made, "a") == {}
    for name in "bc":
        files = of.evaluated_from(made, name)
        for part in get_args(Part):
            read = of.training_inputs(made, name, part)
            for key in ("init", "init_meta", "trained"):
                assert files.pop(f"{key}_{part}", None) == read.get(key)
        assert not files
    expected = {"languages": {"de": "en"}, "seeds": {"ar": 5, "nar": 1}}
    assert of.initial_params(made, "c") == expected


def write_model(folder: Path, codec: str = "world", beside: bool = True) -> str:
    """Files of a model as a run leaves them, as far as planning reads them."""
    folder.mkdir(parents=True)
    table = {"name": "espeak", "symbols": ["<pad>", "<bos>", "<eos>", "a"]}
    (folder / "tokenizer.json").write_text(json.dumps(table))
    (folder / "model.json").write_text(json.dumps({"codec": {"name": codec, "sha256": "ab"}}))
    if beside:
        (folder / "codec.json").write_text(json.dumps({"name": codec}))
    return str(folder / "model.safetensors")


def test_the_codec_of_an_experiment(tmp_path: Path) -> None:
    init = write_model(tmp_path / "voice")
    made = config(a={}, b={"codec": "world"}, c={"init": "b"}, d={"init": init}, e={"init": "d"})
    given = of.given_name(init)
    moved = f"{given}@mine"
    assert [of.codec_of(made, n) for n in "abcde"] == ["encodec", "world", "world", moved, moved]
    assert of.given_codecs(made) == {moved: str(tmp_path / "voice" / "codec.json")}
    assert of.fitting_corpora(made, moved) == ["mine"]
    assert of.experiments_with(made, "world") == ["b", "c"]
    check_given(made)


def test_vocos_decodes_what_encodec_encoded(tmp_path: Path) -> None:
    given = write_model(tmp_path / "voice", codec="encodec_24khz")
    experiments: Any = {"a": {}, "b": {"codec": "world"}, "c": {"init": given}}
    plain, vocos = (config({"decoder": which}, **experiments) for which in ("encodec", "vocos"))
    name = of.given_name(given)
    assert [of.decoder_of(plain, each) for each in "abc"] == [[], [], []]
    assert [of.decoder_of(vocos, each) for each in "abc"] == [
        "results/codecs/encodec/decoder.json",
        [],
        f"results/codecs/{name}/decoder.json",
    ]
    for codec in ("encodec", "world", name):
        assert of.codec_settings(plain, codec) == of.codec_settings(vocos, codec), "same codes"
    check_given(vocos)


def test_vocos_for_nobody(tmp_path: Path) -> None:
    given = write_model(tmp_path / "voice")
    experiments: Any = {"a": {"codec": "world"}, "b": {"init": given}}
    check_given(config(**experiments))
    with pytest.raises(ValueError, match=r"synthesis\.decoder: vocos .* has a decoder of its own"):
        check_given(config({"decoder": "vocos"}, **experiments))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a base voice, in a project beside the run's folder."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    model = Path(write_model(tmp_path / "project/resources/base"))
    for path in (model, model.with_name("codec.safetensors")):
        path.touch()
    monkeypatch.setattr(of, "BASE", model)
    return model.parent


def test_what_starts_from_the_base_voice(base: Path) -> None:
    made = config(
        a={"init": "base"},
        b={"init": "base", "codec": "base"},
        c={"init": "a"},
        d={"codec": "base"},
    )
    folder = "../project/resources/base"
    assert [of.initial_model(made, name, "nar") for name in "abcd"] == [
        f"{folder}/model.safetensors",
        f"{folder}/model.safetensors",
        "results/a/nar/model.safetensors",
        None,
    ]
    assert of.training_inputs(made, "a", "ar")["init_meta"] == f"{folder}/model.json"
    assert of.training_params(made, "a", "ar")["model"] is None
    texts = ["mine.espeak@base", "mine.espeak@base", "mine.espeak@a", "mine.espeak"]
    assert [of.text_of(made, name) for name in "abcd"] == texts
    assert of.symbol_table(made, "a") == f"{folder}/tokenizer.json"
    assert of.given_models(made) == {"base": ["a", "b"]}
    codecs = ["base@mine", "base", "base@mine", "base"]
    assert [of.codec_of(made, name) for name in "abcd"] == codecs
    assert of.given_codecs(made) == dict.fromkeys(codecs, f"{folder}/codec.json")
    assert of.codec_settings(made, "base")["codec"] == f"{folder}/codec.json"
    assert of.fitting_corpora(made, "base") == []
    assert of.fitting_corpora(made, "base@mine") == ["mine"]
    assert of.codec_seed(made, "a") == {}
    check_given(made)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "codec.safetensors"])
def test_a_base_voice_that_is_not_there(base: Path, file: str) -> None:
    (base / file).unlink()
    message = rf"experiments\.a takes the base voice, and \.\./project/resources/base/{file} is not"
    for values in ({"init": "base", "ar": None, "nar": None}, {"codec": "base"}):
        with pytest.raises(ValueError, match=message) as error:
            check_given(config(a=values))
        assert "set `init: scratch`" in str(error.value)
    check_given(config(a={}))


def test_a_base_voice_of_another_codec(base: Path) -> None:
    (base / "codec.json").write_text(json.dumps({"name": "world", "sha256": "cd"}))
    with pytest.raises(ValueError, match=r"was trained with the codec world \(sha256 ab"):
        check_given(config(a={"init": "base"}))


def test_a_model_that_brings_no_codec_needs_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init = write_model(tmp_path / "voice", beside=False)
    message = r"experiments\.a: .*trained on codes of world .*, and codecs\.encodec is enco"
    with pytest.raises(ValueError, match=message):
        check_given(config(a={"init": init}))
    # one that will be fitted here is another, unless it is there and the same
    world = config(a={"init": init, "codec": "world"})
    with pytest.raises(ValueError, match=r"codecs\.world is world\. Put the codec\.json and"):
        check_given(world)
    there = tmp_path / "results/codecs/world/codec.json"
    there.parent.mkdir(parents=True)
    for sha256, fits in (("ab", True), ("cd", False)):
        there.write_text(json.dumps({"name": "world", "sha256": sha256}))
        with nullcontext() if fits else pytest.raises(ValueError, match="sha256 cd"):
            check_given(world)


def test_a_codec_beside_a_model_of_another(tmp_path: Path) -> None:
    init = write_model(tmp_path / "voice")
    (tmp_path / "voice/codec.json").write_text(json.dumps({"name": "world", "sha256": "cd"}))
    with pytest.raises(ValueError, match=r"was trained with the codec world \(sha256 ab"):
        check_given(config(a={"init": init}))


def test_what_an_experiment_leaves_is_started_from_by_its_name() -> None:
    with pytest.raises(ValueError, match="is what an experiment here leaves: write `init: a`"):
        check_given(config(a={}, b={"init": "results/a/model.safetensors"}))


def test_a_fallback_that_stepped_in_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    choice = tmp_path / "results/codecs/encodec/choice.json"
    choice.parent.mkdir(parents=True)
    choice.write_text(json.dumps({"name": "world"}))
    check_given(config(a={}))
    with pytest.raises(ValueError, match=r"experiments\.b starts .* codecs\.encodec has become"):
        check_given(config(a={}, b={"init": "vallex", "tokenizer": "vallex"}))


def test_nothing_steps_in_where_an_original_model_is_fine_tuned() -> None:
    vallex = {"init": "vallex", "tokenizer": "vallex"}
    made = config(a={}, b=vallex, c={"init": "b", "tokenizer": "vallex"}, d={"codec": "world"})
    assert of.need_encodec(made, "encodec") == ["b", "c"]
    assert of.need_encodec(made, "world") == []


def test_what_a_codec_is_fitted_on() -> None:
    other = {"codec": "world", "corpora": ["theirs"]}
    made = config(a={}, b=other, c={"codec": "world"})
    assert of.fitting_corpora(made, "world") == ["theirs"]
    values = made.model_dump(mode="json")
    values["codecs"]["world"]["fit"] = ["mine", "theirs"]
    assert of.fitting_corpora(load_config(values), "world") == ["mine", "theirs"]
    assert of.fitting_corpora(made, "encodec") == [], "there is nothing to fit"


@pytest.mark.parametrize(
    ("init", "tokenizer", "message"),
    [
        (
            "models/x.pt",
            "espeak",
            r"needs the symbol table .*: put it at models/unique_text_tokens",
        ),
        (
            "models/x.safetensors",
            "espeak",
            r"needs the symbol table .*: put it at models/tokenizer",
        ),
    ],
)
def test_a_model_without_its_table(init: str, tokenizer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_given(config(a={"init": init, "tokenizer": tokenizer}))


def test_a_table_of_another_tokenizer(tmp_path: Path) -> None:
    init = write_model(tmp_path / "voice")
    with pytest.raises(ValueError, match="is a table of the tokenizer espeak: set `tokenizer: esp"):
        check_given(config(a={"init": init, "tokenizer": "vallex"}))


@pytest.mark.parametrize(("cores", "both", "alone"), [(1, 1, 1), (2, 1, 2), (8, 4, 8)])
def test_parts_that_train_share_the_cores(cores: int, both: int, alone: int) -> None:
    made = config(a={}, b={"init": "a", "ar": None}, c={"init": "a", "ar": None, "nar": None})
    assert of.training_threads(made, "a", cores) == both
    assert of.training_threads(made, "b", cores) == alone
    assert of.training_threads(made, "c", cores) == cores


def test_alignments_start_from_what_a_model_knows() -> None:
    """From another experiment's manifests, not its NAR: else an AR would wait for that."""
    paths = {"c": {"init": "models/mine/model.safetensors"}, "d": {"init": "models/model.pt"}}
    made = config(a={}, b={"init": "a"}, **paths)
    assert of.aligned_from(made, "a") == of.aligned_from(made, "d") == {}
    assert of.aligned_from(made, "b") == {"aligner": "results/a/cuts/aligner.safetensors"}
    assert of.aligned_from(made, "c") == {"aligner": "models/mine/model.safetensors"}
