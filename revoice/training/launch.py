"""Starting a training: in this process, in several under torchrun, or in a SLURM job's tasks."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from revoice.config_training import TrainConfig
from revoice.files import read_json, write_json
from revoice.training.distributed import STOPPING
from revoice.training.job import Job
from revoice.training.metrics import COLUMNS
from revoice.training.setup import make_model
from revoice.training.train import INTERRUPTED, train, write_outputs


def run(job: Job, processes: int = 1, nodes: int = 1) -> dict[str, Any]:
    """Train, and return what training.json holds.

    Several `processes` on a machine, one per GPU, are torchrun's; those on several `nodes` of the
    SLURM job that this process is in are srun's. Exits with status `INTERRUPTED` when a signal
    ended the training before time; raises RuntimeError when it fails.
    """
    if processes == 1 and nodes == 1:
        return train(job)
    path = Path(job.work) / f"{job.name}-{job.part}.json"
    write_json(path, asdict(job))
    environment = os.environ | {"OMP_NUM_THREADS": str(job.threads)}
    module = ["-m", "revoice.training.train", str(path)]
    if nodes > 1:
        environment = outside_step(environment) | rendezvous()
        tasks = [f"--nodes={nodes}", f"--ntasks-per-node={processes}"]
        # the step that this process is in holds the CPUs and GPUs: share them
        sharing = ["--overlap", "--overcommit", "--cpu-bind=none", "--mem=0"]
        command = ["srun", *tasks, *sharing, sys.executable, *module]
    else:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [sys.executable, *torchrun, *module]
    job.interrupted.unlink(missing_ok=True)
    status = wait_for(subprocess.Popen(command, env=environment), with_workers=nodes == 1)
    if status and job.interrupted.exists():
        raise SystemExit(INTERRUPTED)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed with status {status}; see {job.log}")
    return read_json(Path(job.out).parent / "training.json")


def wait_for(process: subprocess.Popen, with_workers: bool) -> int:
    """Wait for the end, and hand signals on as SIGUSR1.

    srun passes it to its tasks; torchrun would die of it, so that its workers get it themselves.
    """

    def hand_on(number: int, frame: Any) -> None:
        for worker in psutil.Process(process.pid).children() if with_workers else [process]:
            worker.send_signal(STOPPING[-1])

    with ExitStack() as stack:
        for number in STOPPING:
            stack.callback(signal.signal, number, signal.signal(number, hand_on))
        return process.wait()


def rendezvous() -> dict[str, str]:
    """Where the tasks of a SLURM job find each other: here, as the first of them runs here too."""
    with socket.socket() as free:
        free.bind(("", 0))
        return {"MASTER_ADDR": socket.gethostname(), "MASTER_PORT": str(free.getsockname()[1])}


def outside_step(environment: dict[str, str]) -> dict[str, str]:
    """`environment` without what a SLURM step says of itself, which srun would take for wishes."""
    kept = {"SLURM_JOB_ID", "SLURM_CONF", "SLURM_CLUSTER_NAME"}
    dropped = {name for name in environment if name.startswith(("SLURM_", "SRUN_"))} - kept
    return {name: value for name, value in environment.items() if name not in dropped}


def processes_per_node(resources: Any) -> int:
    """One per GPU that a rule asks for, as `gres: gpu:4` for each node, or as `gpu: 4` in all.

    Raises ValueError where `gpu` is not so many for each of the `nodes`.
    """
    if match := re.fullmatch(r"gpu(?::[\w.]+)?:(\d+)", str(resources.get("gres", ""))):
        return int(match[1])
    gpus, nodes = resources.get("gpu", 0), resources.get("nodes", 1)
    if gpus % nodes:
        raise ValueError(
            f"{gpus} GPUs in all cannot be shared evenly by {nodes} nodes: say in `set-resources` "
            "how many each node gives, as `gpu: 0` and `gres: gpu:4`"
        )
    return max(1, gpus // nodes)


def adopt(job: Job) -> None:
    """Write the part of `job.init` as it is, but for what it grows by, as if trained 0 steps."""
    model, meta = make_model(job, TrainConfig(steps=1))
    zero = ("steps", "epochs", "best_epoch", "best_step", "seconds", "peak_memory_mb")
    summary: dict[str, Any] = {**dict.fromkeys(zero, 0), "device": "cpu", "processes": 1}
    summary["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    summary |= {"trainable_parameters": 0, "best_text_gap": None, "lengthened": []}
    summary["code"] = [{"step": 0, "digest": job.code}]
    write_outputs(job, model, meta, f"{','.join(COLUMNS)}\n".encode(), summary)
