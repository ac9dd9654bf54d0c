"""What a training is made of: model, data, optimizer; and whether it fits in memory."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from safetensors.torch import load_file

from revoice.codec.files import load_codec
from revoice.config_training import TrainConfig
from revoice.model import PARTS, Part
from revoice.model.checkpoint import build
from revoice.model.finetune import add_lora, freeze, load_initial
from revoice.model.precision import autocast, computing, has_bf16
from revoice.model.sounds import entries_of
from revoice.model.valle import AR, NAR, ModelConfig
from revoice.training.compiling import compile_layers, gains
from revoice.training.data import CodesDataset, Sampler, dev_sample
from revoice.training.distributed import Ranks
from revoice.training.job import Job
from revoice.training.objective import batch_loss
from revoice.training.optim import Averages, make_optimizer, make_schedule
from revoice.training.state import TrainState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What the loop works with. `meta` is what the initial model's JSON says."""

    model: AR | NAR
    meta: dict[str, Any]
    dataset: CodesDataset
    sampler: Sampler
    dev_cuts: CutSet | None  # which each validation takes; none: it is not validated
    whole_dev: CutSet
    total_steps: int
    padding: float  # share of the audio of batches
    autocast: Callable[[], torch.autocast]
    state: TrainState


def set_up(job: Job, config: TrainConfig, ranks: Ranks, work: Path) -> Run:
    """Make all of it, and go on where an earlier process was."""
    torch.manual_seed(config.seed)
    model, meta = make_model(job, config)
    if job.aligner and isinstance(model, NAR) and model.config.text_positions == "frames":
        model.nar_aligner.take(load_file(job.aligner))
    where = f"experiments.{job.name}.{job.part}"
    adapters_alone = config.lora and config.trainable == "all"
    freeze(model, [] if adapters_alone else config.trainable, f"{where}.trainable")
    if config.lora:
        add_lora(model, config.lora, f"{where}.lora.targets")
    model.gradient_checkpointing = config.gradient_checkpointing
    model.to(ranks.device).train()
    if gains(ranks.device) if config.compile is None else config.compile:
        log.info("layers are compiled")
        compile_layers(model)

    dataset = CodesDataset(model.config.pad, model.config.languages, job.separator, job.ends)
    cuts, who = CutSet.from_jsonl_lazy(job.train_cuts), (ranks.rank, ranks.world_size)
    how = (config.concatenate_seconds, job.weights)
    sampler = Sampler(cuts, config.batch_seconds, config.seed, *who, *how)
    batches, largest, padding = survey(sampler)
    log.info("%.1f %% of the audio of batches is padding, which is packed away", 100 * padding)
    steps_per_epoch = math.ceil(batches / config.accumulate)
    total_steps = config.steps or (config.epochs or 0) * steps_per_epoch

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    averages = Averages(trained, config.average)
    optimizer = make_optimizer(model.named_parameters(), config)
    schedule = make_schedule(optimizer, config, total_steps, steps_per_epoch)
    precision = computing(config.precision, ranks.device)
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")
    draws = torch.Generator().manual_seed(config.seed)
    made = (averages, optimizer, schedule, scaler, draws)
    state = TrainState(work, config, ranks, *made, precision, total_steps=total_steps)
    torch.manual_seed(config.seed + ranks.rank)  # dropout differs between ranks
    state.resume(job.code)

    if state.precision == "bf16" and not has_bf16(ranks.device):
        log.warning("going on in bf16, as begun, which this device emulates")
    log.info("matrices are multiplied in %s", state.precision)
    casting = partial(autocast, state.precision, ranks.device)
    check_memory(job.part, model, dataset, largest, ranks.device, casting, config.batch_seconds)
    dev_cuts = CutSet.from_jsonl_lazy(job.dev_cuts)
    some = dev_sample(dev_cuts, config.valid_seconds, config.seed)
    given = (model, meta, dataset, sampler, some, dev_cuts, total_steps, padding)
    return Run(*given, casting, state)


def make_model(job: Job, config: TrainConfig) -> tuple[AR | NAR, dict[str, Any]]:
    """The part to train, on the CPU, with its dropout, and what is known of its origin."""
    dropout: dict[str, Any] = {
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
    }
    if job.init is None:
        if job.model is None:
            raise ValueError(f"{job.name}: a job needs `model` or `init`")
        model = PARTS[job.part](ModelConfig(**{**job.model, **dropout}))
        if isinstance(model, NAR) and model.config.sounds:
            model.nar_sounds.learn(entries_of(load_codec(job.codec)))
        return model, {}
    model, meta = load_initial(job.part, job.init, job.new_languages, job.text_symbols, config.seed)
    sizes = replace(model.config, **dropout)
    return build(job.part, sizes, model.state_dict(), job.init), meta


def new_model(size: dict[str, Any], train_cuts: str, codec: str) -> dict[str, Any]:
    """Fields of the `ModelConfig` of a model to start from nothing.

    `size`: of a `ModelSize`, and its text's. It has a language embedding if the cuts of the
    manifest `train_cuts` are in several languages. `codec`: the codec.json of their codes.
    """
    cuts = CutSet.from_jsonl_lazy(train_cuts)
    languages = {name for cut in cuts for name in cut.supervisions[0].token_languages}
    several = tuple(sorted(languages)) if len(languages) > 1 else ()
    sizes = {key: value for key, value in size.items() if key != "nar"}
    if size.get("nar") == "at_once":
        sizes["sounds"] = load_codec(codec).entries(0).shape[1]
    layout: dict[str, Any] = {"layout": "vallex" if several else "valle", "languages": several}
    return asdict(ModelConfig(**sizes, **layout))


def survey(sampler: Sampler) -> tuple[int, CutSet, float]:
    """Of an epoch, without reading codes: the number of batches, the batch with the most padded
    audio, and the share of audio that is padding, which is read but not computed."""
    number, largest, size, spoken, padded = 0, None, 0.0, 0.0, 0.0
    for cuts in sampler.epoch(0):
        number += 1
        seconds = len(cuts) * max(cut.duration for cut in cuts)
        spoken, padded = spoken + sum(cut.duration for cut in cuts), padded + seconds
        if seconds > size:
            largest, size = cuts, seconds
    if largest is None:
        raise ValueError("there are fewer cuts to train on than processes")
    return number, largest, 1 - spoken / padded


def check_memory(
    part: Part,
    model: AR | NAR,
    dataset: CodesDataset,
    cuts: CutSet,
    device: torch.device,
    autocast: Any,
    batch_seconds: float,
) -> None:
    """Run the largest batch forward and backward before hours depend on it; leaves no trace.

    Raises RuntimeError where it does not fit in memory; the message says what to change.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            with autocast():
                batch = dataset[cuts].to(device)
                loss, _ = batch_loss(part, model, batch, model.config.stages[-1], 0.0)
            if loss.requires_grad:
                loss.backward()
        except (RuntimeError, MemoryError) as error:
            full = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if not full and "can't allocate memory" not in str(error):
                raise
            longest = max(cut.duration for cut in cuts)
            raise RuntimeError(
                f"the largest batch, {len(cuts)} cuts of up to {longest:.1f} s, does not fit in "
                f"memory on {device}. Lower batch_seconds (now {batch_seconds:g}; try "
                f"{max(batch_seconds / 2, longest):.0f} and twice `accumulate`), lower "
                "limits.max_seconds, set gradient_checkpointing: true, or precision: bf16."
            ) from error
    model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
