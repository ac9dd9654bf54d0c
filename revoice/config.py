"""The typed configuration: what `config.yaml` may say, checked before anything runs."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]

# Folders of `results/` that are no experiment's, and words that `init` knows.
RESERVED = frozenset(["benchmarks", "codec", "corpora", "pretrained", "text", "scratch", "vallex"])


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(Section):
    """Where a corpus lies and what it is.

    kind `asterisk` is the default corpus, fetched; `folder` is any folder with audio and beside
    each file `name.txt` or `name.normalized.txt`; `table` is a CSV or TSV with the columns path,
    text, speaker, language; `libritts` and `ljspeech` are those corpora's own layouts.
    """

    kind: Literal["asterisk", "folder", "table", "libritts", "ljspeech"]
    path: str | None = None
    languages: list[str] = ["en"]  # asterisk: which packages; the others: [the language]
    speaker: str | None = None  # folder: the one speaker; None: the name of the file's folder
    subsets: list[str] = []  # libritts: e.g. [dev-clean, test-clean]; empty: all that are there
    splits: dict[str, Literal["train", "dev", "test"]] = {}  # libritts: subset -> split

    @model_validator(mode="before")
    @classmethod
    def _parts_are_subsets(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "parts" not in values:
            return values
        if "subsets" in values:
            raise ValueError("`parts` is the outdated name of `subsets`: give `subsets` alone")
        logging.getLogger(__name__).warning("a corpus's `parts` is outdated: call it `subsets`")
        return {"subsets" if key == "parts" else key: value for key, value in values.items()}

    @model_validator(mode="after")
    def _path_given(self) -> "CorpusConfig":
        if self.kind != "asterisk" and not self.path:
            raise ValueError(f"a corpus of kind {self.kind!r} needs `path`")
        if not self.languages:
            raise ValueError("`languages` is empty: name at least one, e.g. [en]")
        if self.kind != "asterisk" and len(self.languages) > 1:
            raise ValueError("`languages` takes one language here; a table names one per row")
        return self


class AudioConfig(Section):
    """Resampling and shards."""

    loudness: float | None = Field(None, ge=-70, le=-5)  # LUFS; None leaves levels alone
    strict: bool = False  # a bad file fails the rule instead of going to the rejected table
    min_seconds: float = Field(0.1, gt=0)
    shard_minutes: float = Field(30, gt=0)


class SplitConfig(Section):
    """Train, dev and test: seeded shares of the texts, or whole speakers."""

    by: Literal["text", "speaker"] = "text"
    dev: Share = 0.05
    test: Share = 0.05
    seed: int = 1
    dev_speakers: list[str] = []
    test_speakers: list[str] = []

    @model_validator(mode="after")
    def _something_left(self) -> "SplitConfig":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev + test is {self.dev + self.test:g}: nothing is left for train")
        if self.by == "text" and (self.dev_speakers or self.test_speakers):
            raise ValueError("dev_speakers and test_speakers need `by: speaker`")
        return self


class CodecConfig(Section):
    """The codec, and what steps in where its weights cannot be had."""

    name: Literal["encodec_24khz", "world"] = "encodec_24khz"
    bandwidth: float = Field(6.0, ge=6, le=6)  # kbps: 8 codebooks, which the models are made for
    fallback: Literal["world"] | None = None
    seed: int = 1
    fit_minutes: float = Field(60, gt=0)  # audio that the WORLD codec is fitted on, at most
    url: str | None = None  # another place for the same weights


class TextConfig(Section):
    """Utterances whose text cannot be converted."""

    policy: Literal["drop", "fail"] = "drop"
    mend: bool = False  # vallex: correct what the original front end reads wrongly


class LimitsConfig(Section):
    """Cuts outside these are left out of training and evaluation, and listed."""

    min_seconds: float = Field(0.3, ge=0)
    max_seconds: float = Field(20, gt=0)
    min_frames_per_symbol: float = Field(1.0, ge=0)
    max_frames_per_symbol: float = Field(60, gt=0)


class LoraConfig(Section):
    """Low-rank adapters on the tensors that `targets` match."""

    rank: Positive = 8
    alpha: float = Field(16, gt=0)
    targets: list[str] = ["*_decoder.layers.*.self_attn.in_proj_weight"]


class StageConfig(Section):
    """How one part, AR or NAR, is trained."""

    trainable: Literal["all"] | list[str] = "all"
    lora: LoraConfig | None = None
    optimizer: Literal["adamw", "scaled_adam"] = "adamw"
    schedule: Literal["cosine", "eden", "constant"] = "cosine"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup_steps: int | None = Field(None, ge=0)
    warmup_epochs: float | None = Field(None, ge=0)
    epochs: Positive | None = None
    steps: Positive | None = None
    batch_seconds: float = Field(60, gt=0)
    accumulate: Positive = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip: float | None = Field(1.0, gt=0)  # gradient norm; ScaledAdam clips by itself
    dropout: float = Field(0.0, ge=0, lt=1)
    log_every: Positive = 10
    valid_every: Positive | None = 100  # steps; None: at the end of each epoch
    checkpoint_every: Positive = 100
    keep: Positive = 1
    seed: int = 1
    early_stopping: Positive | None = None  # validations without gain
    average: Literal["ema", "periodic"] | None = None
    gradient_checkpointing: bool = False
    concatenate_seconds: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_length(self) -> "StageConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either `epochs` or `steps`")
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise ValueError("give either `warmup_steps` or `warmup_epochs`, not both")
        return self


class ModelSize(Section):
    """Sizes of a model that starts from nothing."""

    width: Positive = 256
    layers: Positive = 4
    heads: Positive = 4

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelSize":
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f"width {self.width} must be even and a multiple of heads {self.heads}"
            )
        return self


class ExperimentConfig(Section):
    """One training run and its evaluation."""

    corpora: list[Name] = Field(min_length=1)
    tokenizer: Literal["espeak", "vallex"] = "espeak"
    init: str = "scratch"  # scratch | vallex | another experiment | a path
    model: ModelSize = ModelSize()
    limits: LimitsConfig = LimitsConfig()
    new_languages: dict[str, str] = {}  # language to add: existing one to start from, or "mean"
    ar: StageConfig | None = None  # None: the part of `init`, as it is
    nar: StageConfig | None = None

    @model_validator(mode="after")
    def _something_to_start_from(self) -> "ExperimentConfig":
        if self.init == "scratch" and (self.ar is None or self.nar is None):
            raise ValueError("`init: scratch` needs both `ar` and `nar`: nothing is trained yet")
        if self.init == "vallex" and self.tokenizer != "vallex":
            raise ValueError("`init: vallex` needs `tokenizer: vallex`, which it was trained with")
        return self


class SynthesisConfig(Section):
    """Which sentences are spoken, and how."""

    sentences: int | None = Field(20, gt=0)  # of the test split; None: all
    extra: list[str] = []  # further sentences, in language and voice of the first test sentence
    top_k: int | None = Field(50, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    temperature: float = Field(1.0, gt=0)
    best_of: Positive = 1
    seed: int = 1
    prompt_seconds: float = Field(3, gt=0)  # the prompt is a recording at least this long
    batch: Positive = 8


class ScoreConfig(Section):
    """How speech is measured. null leaves a measure out."""

    recognizer: Literal["pocketsphinx", "whisper"] | None = "pocketsphinx"
    whisper_model: str | None = None  # a CTranslate2 model's folder or name
    similarity: Literal["resemblyzer"] | None = "resemblyzer"
    dnsmos: Literal["speechmos"] | None = "speechmos"

    @model_validator(mode="after")
    def _model_named(self) -> "ScoreConfig":
        if self.recognizer == "whisper" and not self.whisper_model:
            raise ValueError("`recognizer: whisper` needs `whisper_model`")
        return self


class EvaluationConfig(Section):
    """Loss and accuracy of the trained model."""

    batch_seconds: float = Field(120, gt=0)
    max_train_cuts: Positive | None = 1000  # a seeded sample of train; None: all
    seed: int = 1


class Config(Section):
    """The whole of `config.yaml`."""

    corpora: dict[Name, CorpusConfig] = Field(min_length=1)
    audio: AudioConfig = AudioConfig()
    split: SplitConfig = SplitConfig()
    codec: CodecConfig = CodecConfig()
    text: TextConfig = TextConfig()
    experiments: dict[Name, ExperimentConfig] = Field(min_length=1)
    evaluation: EvaluationConfig = EvaluationConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    score: ScoreConfig = ScoreConfig()

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name, experiment in self.experiments.items():
            for corpus in experiment.corpora:
                if corpus not in self.corpora:
                    raise ValueError(
                        f"experiments.{name}.corpora: no corpus is called {corpus!r}; "
                        f"corpora: {', '.join(self.corpora)}"
                    )
            if name in RESERVED:
                raise ValueError(f"experiments.{name}: this name is taken, choose another one")
            self._check_init(name)
        return self

    def _check_init(self, name: str) -> None:
        """What an experiment starts from exists, and does not start from the experiment."""
        init = self.experiments[name].init
        is_path = "/" in init or Path(init).suffix in {".pt", ".pth", ".ckpt", ".safetensors"}
        if init not in {"scratch", "vallex", *self.experiments} and not is_path:
            raise ValueError(
                f"experiments.{name}.init = {init!r} is neither scratch, vallex, a path such as "
                f"models/{init}.pt, nor an experiment; experiments: {', '.join(self.experiments)}"
            )
        base = self.experiments.get(init)
        if base and base.tokenizer != self.experiments[name].tokenizer:
            raise ValueError(
                f"experiments.{name}.tokenizer = {self.experiments[name].tokenizer!r}, but {init}, "
                f"which it starts from, reads {base.tokenizer!r}: the same id would mean another "
                "sound"
            )
        chain = [name]
        while (init := self.experiments[chain[-1]].init) in self.experiments:
            if init in chain:
                circle = " -> ".join([*chain, init])
                raise ValueError(f"experiments.{name}.init goes in a circle: {circle}")
            chain.append(init)


def load_config(values: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """The configuration as a checked, typed value.

    `extends: other` in an experiment takes over what `other` says and changes what differs.

    Raises:
        ValueError: one line per fault with the key, what it is and what was expected.
    """
    values = dict(values)
    experiments = values.get("experiments")
    if isinstance(experiments, Mapping):
        values["experiments"] = {name: _extended(name, experiments, source) for name in experiments}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        faults: dict[str, str] = {}  # what is wrong of each key, by all that it could have been
        for fault in error.errors():
            subject, message = _explain(fault)
            faults[subject] = f"{faults[subject]}; or{message}" if subject in faults else message
        lines = [f"{source}: {subject}{message}" for subject, message in faults.items()]
        raise ValueError("\n".join(lines)) from None


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


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    kept = {key: value for key, value in below.items() if _ALTERNATIVES.get(key) not in above}
    return kept | {key: _merged(kept.get(key), value) for key, value in above.items()}


def _explain(fault: Any) -> tuple[str, str]:
    """One fault in a person's words: `split.dev = 2`, `: Input should be less than 1`."""
    # pydantic names the branch of a union that it tried; those are no keys of the file
    location = [
        part
        for part in fault["loc"]
        if not str(part).startswith(("literal[", "list[")) and part != "[key]"
    ]
    key = ".".join(str(part) for part in location)
    if fault["loc"] and fault["loc"][-1] == "[key]":
        return key, ": not a name: letters, digits, _ . and - make one, a letter or digit first"
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
