"""The typed configuration: what `config.yaml` may say, checked before anything runs."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from revoice.config_recordings import RecordingsConfig, WhisperModel
from revoice.config_training import (
    ModelSize,
    Name,
    Positive,
    Precision,
    Section,
    Share,
    TrainConfig,
)
from revoice.synthetic.names import check_voices

Decoding = Literal["expected", "argmax"]
TokenizerName = Literal["espeak", "vallex"]
Recognizer = Literal["whisper", "pocketsphinx"]
SpeakingWeights = Literal["auto", "int8", "bf16", "fp32"]
Prompts = Literal["first", "sliding"]
Decoder = Literal["encodec", "vocos"]
CorpusKind = Literal[
    "asterisk", "folder", "recordings", "table", "libritts", "ljspeech", "synthetic"
]
Split = Literal["train", "dev", "test"]
SplitBy = Literal["text", "speaker", "recording"]
SPLITS: tuple[Split, ...] = get_args(Split)
Part = Literal["ar", "nar"]
STARTS = frozenset(["scratch", "base", "vallex"])  # words that `init` knows
# Folders of `results/` that are no experiment's (`codec`: a former version's).
RESERVED = STARTS | set("benchmarks codec codecs corpora media pretrained recognizers text".split())
ORIGINALS = frozenset([".pt", ".pth", ".ckpt"])  # checkpoints of the originals' trainers
# What these names of codecs mean where the configuration does not say.
STANDARD_CODECS = {"encodec": {"kind": "encodec_24khz"}, "world": {"kind": "world"}}
Weights = dict[Name, Annotated[float, Field(gt=0)]]  # of corpora: shares of an epoch's speech
Corpora = Annotated[
    Annotated[list[Name], Field(min_length=1), Tag("list[Name]")]
    | Annotated[Weights, Field(min_length=1), Tag("dict[Name]")],
    Discriminator(lambda value: "dict[Name]" if isinstance(value, Mapping) else "list[Name]"),
]


class CorpusConfig(Section):
    """Where a corpus lies and what it is.

    kind `asterisk` is the default corpus, fetched; `recordings` is a folder of any recordings, long
    or short, with transcripts or without; `folder` is one with audio and beside each file
    `name.txt` or `name.normalized.txt`; `table` is a CSV or TSV with the columns path, text,
    speaker, language; `libritts` and `ljspeech` are laid out as those; `synthetic` has no path.
    """

    kind: CorpusKind = Field(description="how its files and transcripts lie")
    path: str | None = Field(None, description="folder or table, as seen from the run's folder")
    languages: list[str] = Field(
        ["en"], description="asterisk: any of en es fr it ru; else one; recordings: or auto"
    )
    speaker: str | None = Field(
        None, description="who speaks; null: the folders' names; recordings: or folder, or auto"
    )
    speakers: Positive | None = Field(None, description="speaker auto: how many; null: found")
    subsets: list[str] = Field([], description="libritts: e.g. [dev-clean]; empty: all there are")
    splits: dict[str, Split] = Field({}, description="libritts: e.g. {test-clean: test}")
    voices: dict[str, float] = Field({}, description="synthetic: voice to minutes, see README")
    seed: int = Field(1, description="synthetic: draws sentences and pace")
    templates: Share = Field(0.15, description="synthetic: share of telephone phrases, numbers")
    held_out: list[Name] = Field([], description="synthetic: whose dev and test texts it leaves")
    held_out_files: list[str] = Field([], description="synthetic: lines it shares nothing with")

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
        if self.kind not in {"asterisk", "synthetic"} and not self.path:
            raise ValueError(f"a corpus of kind {self.kind!r} needs `path`")
        if not self.languages:
            raise ValueError("`languages` is empty: name at least one, e.g. [en]")
        if self.kind != "asterisk" and len(self.languages) > 1:
            raise ValueError("`languages` takes one language here; a table names one per row")
        return self

    @model_validator(mode="after")
    def _found_of_recordings(self) -> "CorpusConfig":
        found = "auto" in self.languages or self.speaker in {"auto", "folder"}
        if self.kind != "recordings" and found:
            raise ValueError(
                "`auto` and `speaker: folder` need `kind: recordings`: name the language and the "
                "speaker; without one they are called as their folders"
            )
        if self.speakers is not None and self.speaker != "auto":
            raise ValueError("`speakers` needs `speaker: auto`: it says how many to tell apart")
        return self

    @model_validator(mode="after")
    def _voices_known(self) -> "CorpusConfig":
        if self.kind != "synthetic":
            if self.voices or self.held_out or self.held_out_files:
                raise ValueError("`voices` and `held_out` need `kind: synthetic`")
            return self
        if not self.voices:
            raise ValueError("a corpus of kind 'synthetic' needs `voices`, e.g. {heart: 60}")
        if self.languages != ["en"]:
            raise ValueError("a corpus of kind 'synthetic' is English: `languages: [en]`")
        check_voices(self.voices)
        return self


class AudioConfig(Section):
    """Resampling and shards."""

    loudness: float | None = Field(None, ge=-70, le=-5, description="LUFS; null: as it is")
    strict: bool = Field(False, description="fail the run where a file cannot be used")
    min_seconds: float = Field(0.1, gt=0, description="files shorter than this are rejected")
    shard_minutes: float = Field(30, gt=0, description="speech to a shard, the work of a job")


class SplitConfig(Section):
    """Train, dev and test: seeded shares of the texts, or whole speakers."""

    by: SplitBy | None = Field(
        None, description="what is never in two splits; null: text, of raw recordings: recording"
    )
    dev: Share = Field(0.05, description="share of texts or speakers to validate on; 0: none")
    test: Share = Field(0.05, description="share kept for tables, speech and scores")
    seed: int = Field(1, description="draws the splits, and mixes train")
    dev_speakers: list[str] = Field([], description="these, in place of a share")
    test_speakers: list[str] = Field([], description="these, in place of a share")

    @model_validator(mode="after")
    def _something_left(self) -> "SplitConfig":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev + test is {self.dev + self.test:g}: nothing is left for train")
        if self.by != "speaker" and (self.dev_speakers or self.test_speakers):
            raise ValueError("dev_speakers and test_speakers need `by: speaker`")
        return self


class CodecConfig(Section):
    """A codec, and what steps in where its weights cannot be had."""

    kind: Literal["encodec_24khz", "world"] = Field(description="of `encodec` and `world` known")
    bandwidth: float = Field(6.0, ge=6, le=6, description="kbps; 6 gives the models' 8 quantizers")
    fallback: Literal["world"] | None = Field(None, description="where weights cannot be had")
    seed: int = Field(1, ge=0, description="world: draws the speech it is fitted on")
    fit: list[Name] = Field([], description="world: on these; else its first experiment's")
    fit_minutes: float = Field(60, gt=0, description="world: fitted on so much, at most")
    url: str | None = Field(None, description="another place for the same weights")


class TextConfig(Section):
    """Utterances whose text cannot be converted."""

    policy: Literal["drop", "fail"] = Field("drop", description="texts that cannot be converted")
    mend: bool = Field(False, description="vallex: mend what the original front end misreads")


class LimitsConfig(Section):
    """Cuts outside these are left out of training and evaluation, and listed."""

    min_seconds: float = Field(0.3, ge=0, description="shortest cut")
    max_seconds: float = Field(20, gt=0, description="longest cut")
    min_frames_per_symbol: float = Field(1.0, ge=0, description="fewer: not all was said")
    max_frames_per_symbol: float = Field(60, gt=0, description="more: not all is in the text")


class ExperimentConfig(Section):
    """One training run and its evaluation."""

    corpora: Corpora = Field(description="what it is trained and tested on, maybe with weights")
    tokenizer: TokenizerName = Field("espeak", description="vallex: as the published model's")
    codec: Name | None = Field(None, description="of `codecs`, or base; null: `init`'s, or encodec")
    init: str = Field("scratch", description="scratch, base, vallex, an experiment, or a path")
    model: ModelSize = Field(ModelSize(), description="sizes of a model that starts from scratch")
    limits: LimitsConfig = Field(LimitsConfig(), description="which cuts are left out")
    new_languages: dict[str, str] = Field({}, description="new one to known one, or to mean")
    ar: TrainConfig | None = Field(None, description="null: the AR of `init`, as it is")
    nar: TrainConfig | None = Field(None, description="null: the NAR of `init`, as it is")

    @model_validator(mode="after")
    def _something_to_start_from(self) -> "ExperimentConfig":
        if self.init == "scratch" and (self.ar is None or self.nar is None):
            raise ValueError("`init: scratch` needs both `ar` and `nar`: nothing is trained yet")
        if self.nar and self.nar.history_noise:
            raise ValueError("nar.history_noise: the NAR has no past; it is a key of `ar`")
        own = {"base": "espeak", "vallex": "vallex"}.get(self.init, self.tokenizer)
        if self.tokenizer != own:
            raise ValueError(f"`init: {self.init}` needs `tokenizer: {own}`, its training's")
        return self


class SynthesisConfig(Section):
    """Which sentences are spoken, and how."""

    sentences: int | None = Field(20, gt=0, description="how many of the test split; null: all")
    extra: list[str] = Field([], description="sentences more, in the first one's voice")
    top_k: int | None = Field(50, gt=0, description="AR: draw among so many codes; null: all")
    top_p: float = Field(1.0, gt=0, le=1, description="AR: share of probability to draw among")
    temperature: float = Field(1.0, gt=0, description="AR: below 1 is safer, above 1 more varied")
    best_of: Positive = Field(1, description="AR: draw so many times, and take the best")
    speed: float = Field(1.0, gt=0, description="as much faster, where the model plans its pace")
    window: Positive | None = Field(None, description="AR: frames a code may not fill; null: may")
    repetition: float = Field(0.1, ge=0, le=1, description="share of `window`: more is redrawn")
    end_bias: float = Field(0.0, ge=0, description="AR: urges to end what is longer than planned")
    loop_seconds: float | None = Field(None, gt=0, description="cut what repeats so long")
    seed: int = Field(1, ge=0, description="draws sentences and codes")
    repeats: Positive = Field(1, description="speak each so often, with seeds from `seed` on")
    prompt_seconds: float = Field(3, gt=0, description="length of a prompt, at least")
    batch: Positive = Field(8, description="sentences that are spoken at a time")
    weights: SpeakingWeights = Field("auto", description="auto: int8 or bf16, if it is large")
    nar: Decoding = Field("expected", description="the sound that it expects; argmax: likeliest")
    prompted: Literal["both", "nar"] = Field("both", description="which parts hear the prompt")
    decoder: Decoder = Field("encodec", description="of EnCodec's codes; WORLD has its own")


class SpokenConfig(Section):
    """A text that is spoken, a job for each of its chapters: `results/{experiment}/spoken/`."""

    texts: list[str] = Field(min_length=1, description="a file a chapter, or as book/*.txt")
    voice: str | None = Field(None, description="of the model's, or a preset; null: the first")
    language: str | None = Field(None, description="null: as the text tells")
    accent: str | None = Field(None, description="a language whose accent it gets")
    speed: float = Field(1.0, ge=0.25, le=4, description="2: twice as fast")
    seed: int = Field(1, ge=0, description="of the random numbers")
    prompts: Prompts = Field("first", description="sliding: each piece goes on from the last")
    verify: bool = Field(False, description="a recognizer listens: again, where it is wrong")
    errors: Share = Field(0.1, description="share of a piece's words that may be wrong")
    retries: int = Field(2, ge=0, description="how often a piece is spoken again")
    pause: float = Field(1.5, ge=0, description="seconds between chapters")


class ScoreConfig(Section):
    """How speech is measured. null leaves a measure out."""

    recognizer: Recognizer | None = Field("whisper", description="for the word error rate")
    model: WhisperModel = Field("base", description="whisper: base, or a CTranslate2 model's path")
    similarity: Literal["resemblyzer"] | None = Field("resemblyzer", description="of speakers")
    dnsmos: Literal["speechmos"] | None = Field("speechmos", description="predicted opinion")


class EvaluationConfig(Section):
    """Loss and accuracy of the trained model."""

    batch_seconds: float = Field(60, gt=0, description="speech in a batch")
    precision: Precision = Field("auto", description="bf16 where that is fast")
    max_train_cuts: Positive | None = Field(1000, description="of train, drawn; null: all of it")
    seed: int = Field(1, description="draws the sample")


class Config(Section):
    """The whole of `config.yaml`."""

    corpora: dict[Name, CorpusConfig] = Field(min_length=1, description="corpora by name")
    audio: AudioConfig = Field(AudioConfig(), description="resampling and shards")
    recordings: RecordingsConfig = Field(RecordingsConfig(), description="of kind `recordings`")
    split: SplitConfig = Field(SplitConfig(), description="train, dev and test")
    codecs: dict[Name, CodecConfig] = Field({}, description="`encodec` and `world` need no entry")
    text: TextConfig = Field(TextConfig(), description="texts that cannot be converted")
    experiments: dict[Name, ExperimentConfig] = Field(min_length=1, description="by name")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="loss and accuracy")
    synthesis: SynthesisConfig = Field(SynthesisConfig(), description="what is spoken")
    score: ScoreConfig = Field(ScoreConfig(), description="how speech is measured")
    speak: dict[Name, SpokenConfig] = Field({}, description="texts to speak, by name")

    @model_validator(mode="before")
    @classmethod
    def _synthetic_paths(cls, values: Any) -> Any:
        """Where the sentences of a synthetic corpus are written, which its name says."""
        corpora: Any = values.get("corpora") if isinstance(values, Mapping) else None
        spoken = {}
        for name, corpus in corpora.items() if isinstance(corpora, Mapping) else ():
            if not isinstance(corpus, Mapping) or corpus.get("kind") != "synthetic":
                continue
            if corpus.get("path") is not None:
                raise ValueError(f"corpora.{name}.path: a synthetic corpus has none: leave it out")
            spoken[name] = {**corpus, "path": f"results/corpora/{name}/sentences.csv"}
        return {**values, "corpora": {**corpora, **spoken}} if spoken else values

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
        for name, speaking in self.corpora.items():
            for other in speaking.held_out:
                self._known(f"corpora.{name}.held_out", "corpus", other, self.corpora)
                if self.corpora[other].kind == "synthetic":
                    raise ValueError(f"corpora.{name}.held_out: {other} is synthetic itself")
        if "base" in self.codecs:
            raise ValueError("codecs.base: this is the base voice's own codec, choose another name")
        for name, codec in self.codecs.items():
            for corpus in codec.fit:
                self._known(f"codecs.{name}.fit", "corpus", corpus, self.corpora)
        for name, experiment in self.experiments.items():
            for corpus in experiment.corpora:
                self._known(f"experiments.{name}.corpora", "corpus", corpus, self.corpora)
            if experiment.codec:
                where = f"experiments.{name}.codec"
                self._known(where, "codec", experiment.codec, [*self.codecs, "base"])
            if name in RESERVED:
                raise ValueError(f"experiments.{name}: this name is taken, choose another one")
            self._check_init(name)
            self._check_codec(name)
        return self

    @staticmethod
    def _known(where: str, kind: str, name: str, known: Collection[str]) -> None:
        if name not in known:
            raise ValueError(f"{where}: no {kind} is called {name!r}; there are {', '.join(known)}")

    def _check_init(self, name: str) -> None:
        """What an experiment starts from exists, and does not start from the experiment."""
        init, tokenizer = self.experiments[name].init, self.experiments[name].tokenizer
        is_path = "/" in init or Path(init).suffix in {*ORIGINALS, ".safetensors"}
        if init not in {*STARTS, *self.experiments} and not is_path:
            raise ValueError(
                f"experiments.{name}.init = {init!r} is neither scratch, base, vallex, a path like "
                f"models/{init}.pt, nor an experiment; experiments: {', '.join(self.experiments)}"
            )
        before = self.experiments.get(init)
        if before and before.tokenizer != tokenizer:
            raise ValueError(
                f"experiments.{name}.tokenizer = {tokenizer!r}, but {init}, which it starts from, "
                f"reads {before.tokenizer!r}: the same id would mean another sound"
            )
        chain = [name]
        while (init := self.experiments[chain[-1]].init) in self.experiments:
            chain.append(init)
            if init in chain[:-1]:
                raise ValueError(f"experiments.{name}.init goes in a circle: {' -> '.join(chain)}")

    def _check_codec(self, name: str) -> None:
        """An experiment's codec is the one of the model that it starts from."""
        init, codec = self.experiments[name].init, self.codec_of(name)
        before = "base" if init == "base" else init in self.experiments and self.codec_of(init)
        if before and before != codec:
            raise ValueError(
                f"experiments.{name}.codec = {codec!r}, but {init}, which it starts from, has "
                f"{before!r}: the same code would mean another sound"
            )
        kind = self.codecs[codec].kind if codec in self.codecs else "a model's own"
        if (init == "vallex" or Path(init).suffix in ORIGINALS) and kind != "encodec_24khz":
            raise ValueError(
                f"experiments.{name}: `init: {init}` was trained on EnCodec's codes, as all models "
                f"in that form are taken to be, and codec {codec} is {kind}: set `codec: encodec`, "
                "or `init: scratch`; a model of your own goes on from its .safetensors"
            )

    def codec_of(self, name: str) -> str | None:
        """The codec of an experiment; None: the one that came with the model's file in `init`."""
        experiment = self.experiments[name]
        if experiment.codec or experiment.init == "base":
            return experiment.codec or "base"
        if experiment.init in self.experiments:
            return self.codec_of(experiment.init)
        return None if experiment.init.endswith(".safetensors") else "encodec"
