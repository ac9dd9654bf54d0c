"""A SLURM cluster of one or more pretended nodes on this machine, all of it in one folder.

munged, slurmctld and slurmd run in the foreground as children of the test, with keys, state and
logs in a folder and on ports of their own. Nothing of the system's own SLURM is read or changed.
"""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Environment = dict[str, str]
Run = Callable[..., subprocess.Popen[str]]  # starts Snakemake in a folder, with arguments

PROGRAMS = ("setpriv", "munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
SBIN = "/usr/sbin"

SLURM_CONF = """\
ClusterName=revoice
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# no cgroups and no accounting: what a container without systemd can do
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
PropagateResourceLimits=NONE
# finished jobs stay visible to squeue: Snakemake asks it, sacct knows nothing here
MinJobAge=600
KillWait={kill_wait}
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# what the nodes have is said here, not found out: the tests are the same on every machine
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
    "CPUs=8 RealMemory=64000 Gres=gpu:2 State=UNKNOWN"
)


def missing_programs() -> list[str]:
    """What of SLURM and munge this machine lacks."""
    return [name for name in PROGRAMS if not _which(name)]


@contextmanager
def cluster(folder: Path, nodes: int = 1, kill_wait: int = 10) -> Iterator[Environment]:
    """Start a cluster in `folder`; yield the environment for its clients; stop it.

    Args:
        folder: empty, its path short (it holds a Unix socket).
        nodes: how many nodes this machine pretends to be; each has 8 CPUs and 2 GPUs on paper.
        kill_wait: seconds between SIGTERM and SIGKILL.

    Raises:
        RuntimeError: a daemon ended, or the nodes were not ready in time; with the logs' ends.
    """
    host = socket.gethostname().split(".")[0]
    names = [host] if nodes == 1 else [f"node{i + 1}" for i in range(nodes)]
    conf = _configure(folder, host, names, kill_wait)
    environment = _environment(folder, conf)
    daemons = _Daemons(folder, environment)
    try:
        daemons.start_munge()
        daemons.start("slurmctld", "-D", "-f", str(conf))
        daemons.wait(
            lambda: _run(["scontrol", "ping"], environment).returncode == 0, "slurmctld starts"
        )
        for name in names:
            (folder / f"spool-{name}").mkdir()
            daemons.start("slurmd", "-D", "-f", str(conf), *([] if nodes == 1 else ["-N", name]))
        daemons.wait(lambda: _idle_nodes(environment) == nodes, "nodes become idle")
        yield environment
    finally:
        daemons.stop()


def _configure(folder: Path, host: str, names: list[str], kill_wait: int) -> Path:
    """Write SLURM's configuration; returns the path of slurm.conf."""
    controller, *ports = _free_ports(len(names) + 1)
    lines = [NODE.format(name=n, host=host, port=p) for n, p in zip(names, ports, strict=True)]
    conf = folder / "slurm.conf"
    conf.write_text(
        SLURM_CONF.format(
            folder=folder,
            host=host,
            user=getpass.getuser(),
            controller_port=controller,
            kill_wait=kill_wait,
            nodes="\n".join(lines),
        )
    )
    (folder / "state").mkdir()
    # GPUs on paper: SLURM counts and assigns them, their device files are empty
    for name in ("gpu0", "gpu1"):
        (folder / name).touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    if _version() >= (23, 11):
        (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    return conf


def _environment(folder: Path, conf: Path) -> Environment:
    """What the cluster's clients need to find it."""
    # Snakemake's job step drops SLURM_CONF on its way to srun; from there on it is kept
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {_which("srun")} "$@"\n')
    srun.chmod(0o755)
    environment = _clean_environment() | {"SLURM_CONF": str(conf)}
    return environment | {"PATH": f"{srun.parent}:{environment['PATH']}"}


class _Daemons:
    """What runs in a cluster's folder."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.folder, self.environment = folder, environment
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as log:
            # should this process be killed, its daemons are not left behind
            command = ["setpriv", "--pdeathsig", "TERM", str(_which(name)), *arguments]
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)

    def start_munge(self) -> None:
        """SLURM's authentication, with a key of its own."""
        key, path = self.folder / "munge.key", self.folder / "munge.socket"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.start(
            "munged",
            "--foreground",
            "--force",  # the folder need not be one that munged would choose
            f"--socket={path}",
            f"--key-file={key}",
            f"--pid-file={self.folder}/munged.pid",
            f"--seed-file={self.folder}/munge.seed",
            f"--log-file={self.folder}/munged.log",
        )
        self.wait(path.exists, "munged starts")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait for something; a RuntimeError when a daemon ends, or it takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [p for p in self.processes if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                reason = f"{ended[0].args} ended" if ended else f"not in {seconds:.0f} s"
                raise RuntimeError(f"SLURM: {what}: {reason}\n{_tails(self.folder)}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End all jobs, then the daemons."""
        if len(self.processes) > 1:
            _run(["scancel", "--signal=KILL", "--user", getpass.getuser()], self.environment)
            _run(["scancel", "--user", getpass.getuser()], self.environment)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def stop(process: subprocess.Popen[str]) -> None:
    """End Snakemake as Ctrl-C does, which cancels its jobs; by force if it does not heed that."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def jobs_of(environment: Environment, folder: Path) -> list[dict[str, str]]:
    """Jobs submitted in a folder, oldest first, with the fields that `scontrol show job` has."""
    text = _run(["scontrol", "--oneliner", "show", "jobs"], environment).stdout
    jobs = [dict(re.findall(r"([\w/:]+)=(\S*)", line)) for line in text.splitlines()]
    return [job for job in jobs if job.get("WorkDir") == str(folder)]


def gpus_of(job: dict[str, str]) -> int:
    """GPUs that a job asked for, on each node or together."""
    wishes = [job[name] for name in ("TresPerJob", "TresPerNode") if name in job]
    return sum(int(wish.rpartition(":")[2]) for wish in wishes)


def _idle_nodes(environment: Environment) -> int:
    done = _run(["sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%T"], environment)
    return done.stdout.split().count("idle")


def _run(command: list[str], environment: Environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=SBIN)


def _version() -> tuple[int, ...]:
    text = _run([str(_which("slurmctld")), "-V"], _clean_environment()).stdout
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0,)


def _clean_environment() -> Environment:
    """Ours without what another SLURM may have left in it."""
    prefixes = ("SLURM", "SBATCH", "SRUN", "SQUEUE")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _tails(folder: Path, lines: int = 20) -> str:
    """The ends of all logs in the folder."""
    logs = sorted([*folder.glob("*.log"), *folder.glob("*.out")])
    return "\n".join(
        f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
        for log in logs
    )
