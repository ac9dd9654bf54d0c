"""The SLURM profile on a real SLURM: submission, GPUs, groups, time limits."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

Environment = dict[str, str]
Run = Callable[..., subprocess.Popen[str]]

SMALL = """
rule all:
    input: "all.txt"

rule resample:
    output: "{shard}.audio"
    resources: mem_mb=100, runtime=5
    shell: "scontrol show job $SLURM_JOB_ID > {output}"

rule encode:
    input: "{shard}.audio"
    output: "{shard}.codes"
    resources: mem_mb=100, runtime=5, gpu=workflow.global_resources.get("gpu").value
    shell: "scontrol show job $SLURM_JOB_ID > {output}"

rule all_codes:
    input: expand("{shard}.codes", shard=["a", "b", "c"])
    output: "all.txt"
    localrule: True
    shell: "echo ${{SLURM_JOB_ID:-none}} > {output}"
"""


def finish(process: subprocess.Popen[str], folder: Path, seconds: float = 300) -> str:
    """What Snakemake said, when it has ended well."""
    process.wait(seconds)
    said = (folder / "snakemake.out").read_text()
    assert process.returncode == 0, said
    return said


def job_of(text: str) -> tuple[str, str, int]:
    """Number, partition and GPUs of a job as `scontrol show job` has it."""
    number, partition = (re.search(f"{k}=(\\S+)", text) for k in ("JobId", "Partition"))
    gpus = re.search(r"Tres\S+gpu:(\d+)", text)
    assert number
    assert partition
    return number[1], partition[1], int(gpus[1]) if gpus else 0


def test_batch_job_runs(slurm: Environment, tmp_path: Path) -> None:
    subprocess.run(
        ["sbatch", "--wait", "--ntasks=1", "--output=said", "--wrap=srun echo $((6 * 7))"],
        env=slurm,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    assert (tmp_path / "said").read_text() == "42\n"


def test_step_spans_nodes_and_gpus(slurm: Environment) -> None:
    done = subprocess.run(
        "srun --nodes=2 --ntasks-per-node=2 --gres=gpu:2 printenv SLURM_PROCID".split(),
        env=slurm,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert sorted(done.stdout.split()) == ["0", "1", "2", "3"]


def test_profile_places_jobs(snakemake: Run, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SMALL)
    finish(snakemake("--retries", "0"), tmp_path)
    audio = {job_of((tmp_path / f"{shard}.audio").read_text()) for shard in "abc"}
    codes = {job_of((tmp_path / f"{shard}.codes").read_text()) for shard in "abc"}
    # three shards share one job, and the three that want a card take turns at one
    assert [job[1:] for job in audio] == [("cpu", 0)]
    assert [job[1:] for job in codes] == [("gpu", 1)]
    assert (tmp_path / "all.txt").read_text() == "none\n", "a local rule is no job of SLURM's"
