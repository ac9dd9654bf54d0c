"""A SLURM that works, and where the profile puts jobs on it."""

import subprocess
import time
from pathlib import Path

from tests.helpers.cluster import Environment, Run, gpus_of, jobs_of

ONGOING = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}
SMALL = """
rule all:
    input: "all.txt"

rule resample:
    output: "{shard}.audio"
    resources: mem_mb=100, runtime=5
    shell: "echo $SLURM_JOB_ID > {output}"

rule encode:
    input: "{shard}.audio"
    output: "{shard}.codes"
    threads: 2
    resources: mem_mb=100, runtime=5
    shell: "echo $SLURM_JOB_ID > {output}"

rule all_codes:
    input: expand("{shard}.codes", shard=["a", "b", "c"])
    output: "all.txt"
    localrule: True
    shell: "echo ${{SLURM_JOB_ID:-none}} > {output}"
"""


def test_batch_job_runs(slurm: Environment, tmp_path: Path) -> None:
    command = ["sbatch", "--ntasks=1", "--output=said", "--wrap=srun echo $((6 * 7))"]
    subprocess.run(command, env=slurm, cwd=tmp_path, check=True, timeout=60)
    deadline = time.monotonic() + 60
    while (state := jobs_of(slurm, tmp_path)[0]["JobState"]) in ONGOING:  # `--wait` looks seldom
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    assert state == "COMPLETED"
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


def test_profile_places_jobs(slurm: Environment, snakemake: Run, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SMALL)
    process = snakemake(tmp_path, "--retries", "0")
    assert process.wait(300) == 0, (tmp_path / "snakemake.out").read_text()
    first, second = jobs_of(slurm, tmp_path)
    # three shards share a job and take turns in it: their times add up, what they take does not
    assert (first["Partition"], gpus_of(first), first["NumCPUs"]) == ("cpu", 0, "1")
    assert (second["Partition"], gpus_of(second), second["NumCPUs"]) == ("gpu", 1, "2")
    for job, suffix in ((first, "audio"), (second, "codes")):
        assert job["TimeLimit"] == "00:15:00"
        assert job["MinMemoryNode"] == "100M"
        outputs = [tmp_path / f"{shard}.{suffix}" for shard in "abc"]
        assert {path.read_text().strip() for path in outputs} == {job["JobId"]}
    assert (tmp_path / "all.txt").read_text() == "none\n", "a local rule is no job of SLURM's"
