"""The typed configuration: what `config.yaml` may say, checked before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]

# Folders of `results/` that are no experiment's, and words that `init` knows.
RESERVED = frozenset("benchmarks codec codecs corpora media pretrained text scratch vallex".split())
ORIGINALS = frozenset([".pt", ".pth", ".ckpt"])  # checkpoints of the originals' trainers
# What these names of codecs mean where the configuration does not say.
STANDARD_CODECS = {"encodec": {"kind": "encodec_24khz"}, "world": {"kind": "world"}}


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
    parts: list[str] = []  # libritts: e.g. [dev-clean, test-clean]; empty: all that are there
    splits: dict[str, Literal["train", "dev", "test"]] = {}  # libritts: part -> split

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
    """A codec, and what steps in where its weights cannot be had."""

    kind: Literal["encodec_24khz", "world"]
    bandwidth: float = Field(6.0, ge=6, le=6)  # kbps: 8 codebooks, which the models are made for
    fallback: Literal["world"] | None = None
    seed: int = 1
    fit: list[Name] = []  # corpora that WORLD is fitted on; empty: the first experiment's
    fit_minutes: float = Field(60, gt=0)  # audio that WORLD is fitted on, at most
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
    codec: Name | None = None  # None: that of the model in `init` if it says so, else encodec
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
    codecs: dict[Name, CodecConfig] = {}  # `encodec` and `world` are there without being named
    text: TextConfig = TextConfig()
    experiments: dict[Name, ExperimentConfig] = Field(min_length=1)
    evaluation: EvaluationConfig = EvaluationConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    score: ScoreConfig = ScoreConfig()

    @model_validator(mode="before")
    @classmethod
    def _standard_codecs(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("codecs", {}), Mapping):
            return values
        codecs = {**STANDARD_CODECS, **values.get("codecs", {})}
        for name in STANDARD_CODECS.keys() & codecs.keys():
            if isinstance(codecs[name], Mapping):
                codecs[name] = {**STANDARD_CODECS[name], **codecs[name]}
        return {**values, "codecs": codecs}

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name, codec in self.codecs.items():
            for corpus in codec.fit:
                self._known(f"codecs.{name}.fit", "corpus", corpus, self.corpora)
        for name, experiment in self.experiments.items():
            for corpus in experiment.corpora:
                self._known(f"experiments.{name}.corpora", "corpus", corpus, self.corpora)
            if experiment.codec:
                where = f"experiments.{name}.codec"
                self._known(where, "codec", experiment.codec, self.codecs)
            if name in RESERVED:
                raise ValueError(f"experiments.{name}: this name is taken, choose another one")
            self._check_init(name)
            self._check_codec(name)
        return self

    @staticmethod
    def _known(where: str, kind: str, name: str, known: Mapping[str, Any]) -> None:
        if name not in known:
            raise ValueError(f"{where}: no {kind} is called {name!r}; there are {', '.join(known)}")

    def _check_init(self, name: str) -> None:
        """What an experiment starts from exists, and does not start from the experiment."""
        init = self.experiments[name].init
        is_path = "/" in init or Path(init).suffix in {*ORIGINALS, ".safetensors"}
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

    def _check_codec(self, name: str) -> None:
        """An experiment's codec is the one of the model that it starts from."""
        init, codec = self.experiments[name].init, self.codec_of(name)
        if init in self.experiments and self.codec_of(init) != codec:
            raise ValueError(
                f"experiments.{name}.codec = {codec!r}, but {init}, which it starts from, has "
                f"{self.codec_of(init)!r}: the same code would mean another sound"
            )
        original = init == "vallex" or Path(init).suffix in ORIGINALS
        if original and codec and self.codecs[codec].kind != "encodec_24khz":
            raise ValueError(
                f"experiments.{name}: `init: {init}` was trained on EnCodec's codes, and "
                f"codecs.{codec} is of kind {self.codecs[codec].kind}: set `codec: encodec`, or "
                "`init: scratch`"
            )

    def codec_of(self, name: str) -> str | None:
        """The codec of an experiment; None: the one that came with the model's file in `init`."""
        experiment = self.experiments[name]
        if experiment.codec:
            return experiment.codec
        if experiment.init in self.experiments:
            return self.codec_of(experiment.init)
        return None if experiment.init.endswith(".safetensors") else "encodec"
