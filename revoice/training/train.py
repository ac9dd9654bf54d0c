"""Training of one part, the AR or the NAR: the loop, top to bottom.

`train(job)` runs in one process, or in each of several that torchrun or srun started. Whatever ends
it before time, the same job goes on from the state in its work folder and ends in the same weights.
"""

import logging
import math
import os
import sys
import threading
import time
from contextlib import closing, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from revoice.config_training import TrainConfig
from revoice.devices import keep_memory
from revoice.files import atomic, read_json, write_json
from revoice.model import Part
from revoice.model.checkpoint import save_model
from revoice.model.finetune import merge_lora
from revoice.model.valle import AR, NAR
from revoice.training.data import Batch, load_batches, ordered_batches
from revoice.training.distributed import Ranks, caught_signals
from revoice.training.job import Job
from revoice.training.metrics import Metrics, peak_memory_mb
from revoice.training.objective import (
    SWAPPED,
    batch_loss,
    count_positions,
    figures,
    measure,
    measure_swapped,
    text_gap,
)
from revoice.training.optim import assign
from revoice.training.setup import Run, set_up
from revoice.training.state import GRAD_NORM, IN_ROW, SKIPPED, TrainState, locked

log = logging.getLogger(__name__)

BEST = ("best_epoch", "best_step", "best_loss", "best_text_gap")
WORKERS = {"cuda": 4}  # processes that read batches; elsewhere this one does
SKIPPED_MOST = 10  # steps in a row whose gradient is not finite
INTERRUPTED = 75  # exit code: the state is saved, the same command goes on (EX_TEMPFAIL)


def train(job: Job) -> dict[str, Any]:
    """Train one part and write `{out}.safetensors`, `{out}.json`, metrics.csv and training.json.

    Returns what training.json holds. Exits with status `INTERRUPTED` after a signal.
    """
    config, ranks = TrainConfig(**job.train), Ranks.join()
    torch.set_num_threads(job.threads)
    keep_memory()
    folder = ranks.broadcast(lambda: f"{job.name}-{job.part}-{job.digest(ranks.world_size)}")
    work = Path(job.work) / folder
    with locked(work) if ranks.rank == 0 else nullcontext(), caught_signals() as stop:
        ranks.broadcast(lambda: job.interrupted.unlink(missing_ok=True))
        run = set_up(job, config, ranks, work)
        state, model = run.state, run.model
        here, averages = state.progress, state.averages
        told = Metrics(work, here, run.total_steps, f"{job.name} {job.part}", ranks.rank)
        with closing(told) as metrics, closing(state):
            loop(job, run, metrics, stop)

        # What comes out: the weights with the best dev loss, or the last
        if run.dev_cuts is None:
            averages.keep_best()
        assign(averages.trained, averages.best)
        whole = measure_whole(job, run, stop)
        merge_lora(model)
        summary = {
            "steps": here.step,
            "epochs": here.epoch,
            **{key: getattr(here, key) if here.best_step else None for key in BEST},
            **whole,
            "seconds": round(here.seconds, 1),
            "peak_memory_mb": peak_memory_mb(),
            "device": torch.cuda.get_device_name() if ranks.device.type == "cuda" else "cpu",
            "precision": state.precision,
            "padding": round(run.padding, 4),
            "processes": ranks.world_size,
            "parameters": sum(p.numel() for p in model.parameters()),
            "trainable_parameters": sum(p.numel() for p in averages.trained.values()),
            "skipped_steps": here.skipped_steps,
            "lengthened": here.lengthened,
            "code": state.code,
        }
        if ranks.rank == 0:
            write_outputs(job, model, run.meta, (work / "metrics.csv").read_bytes(), summary)
        return summary


def loop(job: Job, run: Run, metrics: Metrics, stop: threading.Event) -> None:
    """Steps and validations, from where the state is to the configured end; saves as it goes."""
    part, state, where = job.part, run.state, f"experiments.{job.name}.{job.part}"
    config, ranks, averages, here = state.config, state.ranks, state.averages, state.progress
    batches = None
    while True:
        # Due? Validate. What is interrupted is done again, first thing, when the run goes on
        done, interrupted = here.ended(config), ranks.any_rank(stop.is_set())
        every = config.valid_every
        due = done or (here.step % every == 0 if every else here.batches == 0)
        if run.dev_cuts is not None and due and here.validated < here.step and not interrupted:
            look(state, where)
            sums = validate(part, run, run.dev_cuts, stop)
            interrupted = ranks.any_rank(stop.is_set())
            if not interrupted:
                sums = ranks.all_reduce_sum(sums)
                result, gap = figures(sums[0]), text_gap(sums[1:]) if part == "ar" else None
                if gap is not None:
                    result["swap_loss"] = result["loss"] + gap
                metrics.write(here, "dev", result)
                state.validated(result["loss"], gap)
                continue

        # Interrupted? Save and leave
        regular = here.step and (
            here.step % config.checkpoint_every == 0 or here.step == here.stable_steps
        )
        if (done or interrupted or regular) and not state.saved():
            look(state, where)
            state.save(metrics.flush())
        if interrupted:
            leave(job, state)
        if done:
            break

        # The next batches
        clock = time.monotonic()
        if batches is None:
            chosen = run.sampler.epoch(here.epoch, skip=here.batches)
            batches = load_batches(run.dataset, chosen, WORKERS.get(ranks.device.type, 0))
        group = list(islice(batches, config.accumulate))
        if not group:
            here.epoch, here.batches, batches = here.epoch + 1, 0, None
            continue

        # Forward, backward, step
        optimize(state, backward(part, run, group))
        lr = float(state.schedule.get_last_lr()[0])
        state.schedule.step()
        here.step += 1
        here.batches += len(group)
        averages.update(here.step)
        here.interval_seconds += time.monotonic() - clock
        metrics.bar.update()

        # Log
        if here.step % config.log_every == 0:
            look(state, where)
            total = ranks.all_reduce_sum(here.interval)
            result, speed = figures(total[:4]), float(total[4]) / here.interval_seconds
            here.seconds = state.seconds()
            metrics.write(here, "train", result, lr, here.grad_norm, speed)
            if total[1] and not math.isfinite(result["loss"]):
                raise RuntimeError(
                    f"{where}: the loss is {result['loss']} at step "
                    f"{here.step}. Lower lr, lengthen the warm-up, or set precision: fp32"
                )
            state.tally[:GRAD_NORM] = 0.0
            here.interval, here.interval_seconds = [0.0] * 5, 0.0


def look(state: TrainState, where: str) -> None:
    """Learn what the device has counted; the host waits for it here, and in no step.

    Raises RuntimeError where the gradients of the last ten steps were not finite.
    """
    state.look()
    if state.progress.skipped_in_row >= SKIPPED_MOST:
        raise RuntimeError(
            f"{where}: the gradient of {SKIPPED_MOST} steps in a row, to step "
            f"{state.progress.step}, is not finite. Lower lr, lengthen the warm-up, or set "
            "precision: fp32"
        )


def leave(job: Job, state: TrainState) -> NoReturn:
    """End this process, and on no rank before the state is written."""
    state.close()
    state.ranks.broadcast(job.interrupted.touch)
    step = state.progress.step
    log.warning("interrupted: step %d is saved; the same command goes on", step)
    raise SystemExit(INTERRUPTED)


def measure_whole(job: Job, run: Run, stop: threading.Event) -> dict[str, float]:
    """Of the best weights, where validations took a sample, loss and accuracy on all of dev."""
    if run.dev_cuts is None or run.dev_cuts is run.whole_dev:
        return {}
    ranks = run.state.ranks
    who, how = (ranks.rank, ranks.world_size), (ranks.device, run.autocast, stop.is_set)
    mine = ordered_batches(run.whole_dev, run.state.config.batch_seconds, *who)
    sums = measure(job.part, run.model, load_batches(run.dataset, mine), *how).sum(0)
    if ranks.any_rank(stop.is_set()):
        leave(job, run.state)
    result = figures(ranks.all_reduce_sum(sums))
    return {f"dev_{key}": result[key] for key in ("loss", "top10_accuracy")}


def validate(part: Part, run: Run, dev_cuts: CutSet, stop: threading.Event) -> Tensor:
    """This rank's share of the sums over the dev cuts, as `measure` gives them.

    (1, 4); the AR's are (3, 4), with those of `measure_swapped`.
    """
    ranks, model = run.state.ranks, run.model
    who, how = (ranks.rank, ranks.world_size), (ranks.device, run.autocast, stop.is_set)

    mine = ordered_batches(dev_cuts, run.state.config.batch_seconds, *who)
    batches = load_batches(run.dataset, mine)
    first = list(islice(batches, len(range(ranks.rank, SWAPPED, ranks.world_size))))
    with run.state.averages.swapped_weights():
        sums = measure(part, model, chain(first, batches), *how).sum(0, keepdim=True)
        if not isinstance(model, AR):
            return sums
        return torch.cat([sums, measure_swapped(model, first, len(first), *how)])


def backward(part: Part, run: Run, group: list[Batch]) -> Tensor:
    """Add up the gradients of the batches of one step, on all ranks the mean over positions.

    Returns this rank's sums, as `batch_loss` gives them, and its frames: (5,), on the device.
    """
    state, ranks = run.state, run.state.ranks
    # every rank draws for all, so that the draws do not depend on their number
    draws = torch.rand(state.config.accumulate * ranks.world_size, 2, generator=state.draws)
    mine = draws[ranks.rank :: ranks.world_size]
    stages = run.model.config.stages
    chosen = [stages[i] for i in (mine[:, 0] * len(stages)).long().tolist()]
    shares = (mine[:, 1] / 2).tolist()
    own = sum(map(count_positions, [part] * len(group), group, shares))
    positions = ranks.all_reduce_sum(own).item()
    total = torch.zeros_like(state.tally[:GRAD_NORM])
    for i, batch in enumerate(group):
        batch = batch.to(ranks.device)
        with run.autocast():
            how = (chosen[i], shares[i], state.config.history_noise)
            loss, sums = batch_loss(part, run.model, batch, *how)
        if loss.requires_grad:  # else none of what is trained takes part in this quantizer
            state.scaler.scale(loss / positions).backward()
        total += F.pad(sums.to(total.device), (0, 1), value=float(batch.code_lens.sum()))
    ranks.add_gradients(list(state.averages.trained.values()))
    return total


def optimize(state: TrainState, measured: Tensor) -> None:
    """One step, or none where the gradient is not finite; the device decides, and counts.

    `measured`, as `backward` gives it, counts where the step is taken. What fp16's scaler skips,
    since its scale was too large for once, does not count as skipped.
    """
    config, tally, optimizer = state.config, state.tally, state.optimizer
    clip = config.clip if config.clip and config.optimizer != "scaled_adam" else math.inf
    finite, taken = torch.ones_like(tally[0], dtype=torch.bool), True
    if any(p.grad is not None for p in state.averages.trained.values()):
        state.scaler.unscale_(optimizer)
        norm = clip_grad_norm_(state.averages.trained.values(), clip).to(tally.device)
        tally[GRAD_NORM] = norm
        if not state.scaler.is_enabled():
            finite = norm.isfinite()
            if optimizer.defaults.get("fused") and state.ranks.device.type != "mps":
                # its kernel looks at this, as it does for a scaler, and then changes nothing
                optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            else:
                taken = bool(finite)
        if taken:
            state.scaler.step(optimizer)
            state.scaler.update()
    optimizer.zero_grad(set_to_none=True)
    tally[:GRAD_NORM] += torch.where(finite, measured, 0.0)
    tally[SKIPPED] += ~finite
    tally[IN_ROW] = (tally[IN_ROW] + 1) * ~finite


def write_outputs(
    job: Job, model: AR | NAR, meta: dict[str, Any], metrics: bytes, summary: dict[str, Any]
) -> None:
    """Write metrics.csv, training.json and the model, each atomically.

    The model comes last: until it is there the old one is whole, and where this is cut short the
    same job, whose state is at its end, writes all of them again.
    """
    folder = Path(job.out).parent
    with atomic(folder / "metrics.csv") as temporary:
        temporary.write_bytes(metrics)
    write_json(folder / "training.json", summary)
    config = model.config.without_dropout()
    save_model(job.out, model.state_dict(), {**meta, **job.meta, "model": config})


def main() -> None:
    """`python -m revoice.training.train job.json`, what torchrun and srun start."""
    job = Job(**read_json(sys.argv[1]))
    if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))):
        logging.disable(logging.WARNING)
    line = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(filename=job.log, encoding="utf-8", level=logging.INFO, format=line)
    try:
        train(job)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
