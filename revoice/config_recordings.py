"""How raw recordings become a data set: sections of the configuration."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from revoice.config_training import Section, Share

WhisperModel = Literal["base"] | Annotated[str, Field(pattern="/")]  # pinned, or a path
Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class QualityConfig(Section):
    """What segments have to be to be kept. null leaves a measure out; proofread texts are right."""

    dnsmos: float | None = Field(2.6, ge=1, le=5, description="predicted opinion, at least")
    snr: float | None = Field(15, description="decibels of speech above noise, at least")
    confidence: Share | None = Field(0.6, description="Whisper's, mean of words, at least")
    matched: Share | None = Field(0.5, description="of a given transcript, share that was heard")
    rate: Range | None = Field([6.0, 25.0], description="letters a second, from and to")
    clipping: Share | None = Field(0.005, description="share of clipped samples, at most")
    bandwidth: float | None = Field(None, gt=0, description="Hz that is reached, at least")

    @model_validator(mode="after")
    def _rate_in_order(self) -> "QualityConfig":
        if self.rate and not 0 <= self.rate[0] < self.rate[1]:
            raise ValueError(f"rate {self.rate} is not [from, to], as [6, 25] is")
        return self


class RecordingsConfig(Section):
    """Corpora of kind `recordings`: segments, what is said in them, and which are kept."""

    min_seconds: float = Field(1.0, gt=0, description="shortest segment")
    max_seconds: float = Field(15.0, ge=4, le=28, description="longest segment")
    pause: float = Field(0.2, ge=0.1, description="seconds of silence at which may be cut")
    recognizer: WhisperModel = Field("base", description="base, or a CTranslate2 model's path")
    quality: QualityConfig = Field(QualityConfig(), description="which segments are kept")
    same_speaker: float = Field(0.31, gt=0, lt=2, description="cosine distance of one's segments")
    seed: int = Field(1, ge=0, description="draws segments that speakers are told apart by")

    @model_validator(mode="after")
    def _lengths_in_order(self) -> "RecordingsConfig":
        if self.min_seconds >= self.max_seconds:
            raise ValueError(
                f"min_seconds {self.min_seconds:g} is not below max_seconds {self.max_seconds:g}"
            )
        return self
