"""What processes that train together tell each other."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from revoice.training.distributed import Ranks
from revoice.training.launch import rendezvous


def alone() -> Ranks:
    return Ranks(0, 1, torch.device("cpu"))


def talk(rank: int, folder: str) -> None:
    """One of two processes: writes down what it hears."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": Path(folder, "port").read_text()}
    torch.set_num_threads(1)
    ranks = Ranks.join()
    shared, own, unused = (nn.Parameter(torch.ones(2)) for _ in range(3))
    loss = shared.sum() * (rank + 1) + (own.sum() if rank else 0)
    loss.backward()
    ranks.add_gradients([shared, own, unused])
    heard = {
        "who": (ranks.rank, ranks.world_size),
        "broadcast": ranks.broadcast(lambda: f"from {rank}"),
        "gather": ranks.gather({"rank": rank}),
        "sum": ranks.all_reduce_sum(torch.tensor([1.0, rank])).tolist(),
        "any": [ranks.any_rank(rank == 1), ranks.any_rank(False)],
        "gradients": [p.grad if p.grad is None else p.grad.tolist() for p in (shared, own, unused)],
    }
    torch.save(heard, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks(tmp_path: Path) -> None:
    (tmp_path / "port").write_text(rendezvous()["MASTER_PORT"])
    mp.spawn(talk, (str(tmp_path),), nprocs=2)
    heard = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert [h.pop("who") for h in heard] == [(0, 2), (1, 2)]
    assert heard[0] == heard[1]
    assert heard[0] == {
        "broadcast": "from 0",
        "gather": [{"rank": 0}, {"rank": 1}],
        "sum": [2.0, 1.0],
        "any": [True, False],
        "gradients": [[3.0, 3.0], [1.0, 1.0], None],
    }


def test_alone_nothing_is_sent() -> None:
    ranks = alone()
    assert ranks.broadcast(lambda: 3) == 3
    assert ranks.gather("own") == ["own"]
    assert ranks.all_reduce_sum(torch.ones(2)).tolist() == [1, 1]
    assert ranks.any_rank(True)
    assert not ranks.any_rank(False)
    ranks.add_gradients([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("environment", [{}, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}])
def test_without_a_launcher_a_process_is_alone(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any]
) -> None:
    """In a SLURM job as well, where srun did not start it as one of several."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ranks = Ranks.join()
    assert (ranks.rank, ranks.world_size) == (0, 1)
