"""What a training is told, and a digest of what decides about its weights."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revoice.files import sha256
from revoice.model import Part
from revoice.training.state import FORMAT


@dataclass(frozen=True)
class Job:
    """All that a training needs to know; JSON values alone."""

    name: str
    part: Part
    train: dict[str, Any]  # fields of its `TrainConfig`
    train_cuts: str  # a manifest, as `dev_cuts`
    dev_cuts: str
    work: str  # folder of resume states
    out: str  # stem of the model, beside which `metrics.csv` and `training.json` appear
    model: dict[str, Any] | None = None  # fields of the `ModelConfig`, to start from nothing
    codec: str = ""  # codec.json of the codes, for a new model
    aligner: str | None = None  # of the manifests, which a NAR keeps
    init: str | None = None  # else the stem of the model to start from, which grows by these two
    new_languages: dict[str, str] = field(default_factory=dict)
    text_symbols: int = 0
    weights: dict[str, float] | None = None  # of corpora in an epoch
    data: dict[str, str] = field(default_factory=dict)  # digests of the manifests, by split
    separator: list[int] = field(default_factory=list)  # between the texts of joined cuts
    ends: list[int] = field(default_factory=list)  # around a whole text
    meta: dict[str, Any] = field(default_factory=dict)  # goes into the model's JSON
    code: str = ""  # a digest of the code that trains
    threads: int = 1
    log: str | None = None

    @property
    def interrupted(self) -> Path:
        """Exists after a run that a signal ended."""
        return Path(self.work) / f"{self.name}-{self.part}.interrupted"

    def digest(self, world_size: int) -> str:
        """Digest of the data and settings that decide about the weights, but the run's length.

        A state knows where its rate began to decay, and whether it is on the way of a run.
        """
        undecided = {"epochs", "steps", "decay_share", "log_every", "checkpoint_every", "keep"}
        decides = {
            "format": FORMAT,
            "part": self.part,
            "train": {k: v for k, v in self.train.items() if k not in undecided},
            "model": self.model,
            "init": [sha256(f"{self.init}{x}") for x in (".safetensors", ".json") if self.init],
            "grow": [self.new_languages, self.text_symbols],
            "text": [self.separator, self.ends],
            "cuts": [self.data.get("train"), self.data.get("dev"), self.weights],
            "world_size": world_size,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
