"""How a part is trained, and of what size it is: sections of the configuration."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Average = Literal["ema", "periodic"]
Positions = Literal["symbols", "frames"]
Stages = Literal["stages", "at_once"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
ATTENTION = "*_decoder.layers.*.self_attn.in_proj_weight"


def check_width(width: int, heads: int) -> None:
    """Raise ValueError unless the heads divide the width, which sinusoids need even."""
    if heads < 1 or width % heads or width % 2:
        raise ValueError(f"width {width} must be even and a multiple of heads {heads}")


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LoraConfig(Section):
    """Low-rank adapters on the tensors that `targets` match."""

    rank: Positive = Field(8, description="rank of each adapter")
    alpha: float = Field(16, gt=0, description="an adapter's output is scaled by alpha / rank")
    targets: list[str] = Field([ATTENTION], description="patterns of tensors' names")


class TrainConfig(Section):
    """How one part, AR or NAR, is trained."""

    trainable: Literal["all"] | list[str] = Field("all", description="patterns of tensors' names")
    lora: LoraConfig | None = Field(None, description="train adapters instead of matrices")
    optimizer: Literal["adamw", "scaled_adam"] = Field("adamw", description="adamw, or Zipformer's")
    schedule: Literal["cosine", "wsd", "eden", "constant"] = Field("cosine", description="of lr")
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd, which can be lengthened: its end")
    lr: float = Field(1e-3, gt=0, description="learning rate, at its highest")
    weight_decay: float = Field(0.01, ge=0, description="adamw: of matrices, not of vectors")
    warmup_steps: int | None = Field(None, ge=0, description="in which the rate rises")
    warmup_epochs: float | None = Field(None, ge=0, description="the same, in epochs")
    epochs: Positive | None = Field(None, description="passes over the data; or `steps`")
    steps: Positive | None = Field(None, description="steps of the optimizer; or `epochs`")
    batch_seconds: float = Field(60, gt=0, description="speech in a batch, of one process")
    accumulate: Positive = Field(1, description="batches to a step")
    precision: Precision = Field("auto", description="bf16 where that is fast; weights stay fp32")
    clip: float | None = Field(1.0, gt=0, description="norm of gradients; scaled_adam has its own")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations that are dropped")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="of what is attended to; slow")
    history_noise: Share = Field(0.0, description="AR: share of its past replaced by noise")
    log_every: Positive = Field(10, description="steps between rows of metrics.csv")
    valid_every: Positive | None = Field(None, description="steps; null: at each epoch's end")
    valid_seconds: float | None = Field(600, gt=0, description="of dev, drawn; null: all, always")
    checkpoint_every: Positive = Field(100, description="steps between states to go on from")
    keep: Positive = Field(1, description="how many saved states are kept")
    seed: int = Field(1, description="draws weights, order and dropout")
    early_stopping: Positive | None = Field(None, description="after validations without gain")
    average: Average | None = Field(None, description="of weights: decaying, or of each 100th step")
    gradient_checkpointing: bool = Field(False, description="less memory for more time")
    compile: bool | None = Field(None, description="layers, by torch.compile; null: on a GPU")
    concatenate_seconds: float | None = Field(None, gt=0, description="join cuts up to this")

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either `epochs` or `steps`")
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise ValueError("give either `warmup_steps` or `warmup_epochs`, not both")
        return self


class ModelSize(Section):
    """Sizes of a model that starts from nothing."""

    width: Positive = Field(256, description="width of the decoders")
    layers: Positive = Field(4, description="layers of each decoder")
    nar_layers: Positive | None = Field(None, description="of the NAR's; null: as many")
    heads: Positive = Field(4, description="heads of attention, which divide the width")
    text_positions: Positions = Field("symbols", description="frames: where each is said; no .pt")
    nar: Stages = Field("stages", description="at_once: all codebooks from the first; no .pt")

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelSize":
        check_width(self.width, self.heads)
        return self
