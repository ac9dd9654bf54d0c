"""Processes that train together: who is among them, what they tell each other, their signals."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from revoice.devices import best_device

T = TypeVar("T")

# what SLURM sends before a time limit; Windows has no SIGUSR1
STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
BUCKET = 2**23  # numbers that are sent at once, 32 MB


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together, and the device that it computes on.

    Its methods are calls that every rank has to make, in the same order.
    """

    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def join(cls) -> "Ranks":
        """As torchrun or srun put it in the environment; alone where neither did."""
        if "WORLD_SIZE" not in os.environ and {"SLURM_PROCID", "MASTER_ADDR"} <= os.environ.keys():
            names = {"RANK": "PROCID", "WORLD_SIZE": "NTASKS", "LOCAL_RANK": "LOCALID"}
            os.environ.update({name: os.environ[f"SLURM_{key}"] for name, key in names.items()})
        rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        device = torch.device(best_device())
        if device.type == "cuda":
            # srun may show each task its own GPU alone
            local = int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()
            device = torch.device("cuda", local)
            torch.cuda.set_device(device)
        if world_size > 1 and not dist.is_initialized():
            # what the host wants to know does not wait for what its GPU computes
            gpu = device.type == "cuda"
            dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
        return cls(rank, world_size, device)

    def broadcast(self, make: Callable[[], T]) -> T:
        """What `make` gives on rank 0, which alone calls it, on every rank."""
        return self.gather(make() if self.rank == 0 else None)[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def all_reduce_sum(self, values: Tensor | Sequence[float] | float) -> Tensor:
        """Sum of what the hosts know over all ranks, in float64 on the CPU."""
        total = torch.as_tensor(values, dtype=torch.float64)
        if self.world_size > 1:
            dist.all_reduce(total)
        return total

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return bool(self.all_reduce_sum(flag) > 0)

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give every parameter the sum of its gradients over all ranks.

        One that took part on no rank keeps none, so that its optimizer leaves it alone as it does
        in one process. In this a model is free to use, in each batch, what it likes:
        DistributedDataParallel fails where a rank's batch uses nothing that is trained.
        """
        if self.world_size == 1:
            return
        used = self.all_reduce_sum([float(p.grad is not None) for p in parameters]).tolist()
        bucket: list[Tensor] = []
        for parameter, ranks in zip(parameters, used, strict=True):
            if not ranks:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            if sum(gradient.numel() for gradient in bucket) >= BUCKET:
                _reduce(bucket)
                bucket = []
        if bucket:
            _reduce(bucket)


def _reduce(gradients: list[Tensor]) -> None:
    """Sum over all ranks, in place, all in one message."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


@contextmanager
def caught_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGUSR1 or Ctrl-C sets; a second Ctrl-C acts as ever."""
    stop = threading.Event()

    def handle(number: int, frame: Any) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPPING, signal.SIGINT):
                stack.callback(signal.signal, number, signal.signal(number, handle))
        yield stop
