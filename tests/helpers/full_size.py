"""One pass over a model of the published size; `test_full_size.py` runs it as a process of its own.

Usage: python full_size.py FOLDER. Prints what happened as JSON.
"""

import json
import resource
import sys
from pathlib import Path

import torch

from revoice.model.checkpoint import load_part
from revoice.model.drawing import Sampling
from revoice.model.generate import Request, synthesize
from revoice.model.losses import ar_loss, nar_loss
from revoice.model.pretrained import export_checkpoint, import_checkpoint, read_checkpoint
from revoice.model.valle import AR, BINS, EOS, NAR, ModelConfig

CONFIG = ModelConfig("vallex", 1024, 12, 16, 2048, languages=("en", "zh", "ja"), pad=3)
FRAMES = 150  # 2 seconds


def write_original(path: Path) -> int:
    """Random weights as a trainer writes them; how many, tied ones under both names."""
    torch.manual_seed(0)
    state = AR(CONFIG).state_dict() | NAR(CONFIG).state_dict()
    # Without this the random model might end its speech early.
    state["ar_predict_layer.weight"][EOS] = 0.0
    torch.save({"model": state, "exp_dir": Path("exp"), "batch_idx_train": 7}, path)
    return sum(value.numel() for value in state.values())


def step(model: AR | NAR) -> float:
    """One AdamW step on two utterances; the loss per position."""
    text, text_lens = torch.randint(70, (2, 24)), torch.tensor([24, 15])
    codes, code_lens = torch.randint(BINS, (2, 100, 8)), torch.tensor([75, 100])
    inputs = (text, text_lens, codes, code_lens)
    languages = torch.zeros_like(text)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    if isinstance(model, AR):
        loss, positions = ar_loss(model(*inputs, languages), codes, code_lens)
    else:
        logits = model(*inputs, 3, 40, languages)
        loss, positions = nar_loss(logits, codes, code_lens, 3, 40)
    (loss / positions).backward()
    optimizer.step()
    return (loss / positions).item()


def main(folder: Path) -> None:
    original, stem, exported = folder / "epoch-7.pt", folder / "model", folder / "exported.pt"
    report: dict[str, object] = {"parameters": write_original(original)}
    config = import_checkpoint(original, stem)
    report["recognized"] = config == CONFIG

    export_checkpoint(stem, exported)
    before, after = read_checkpoint(original), read_checkpoint(exported)
    report["equal"] = before.keys() == after.keys() and all(
        torch.equal(before[name], after[name]) for name in before
    )
    del before, after

    torch.manual_seed(1)
    for part in ("ar", "nar"):
        model = load_part(part, stem)[0].train()
        watched = next(model.parameters())
        start = watched.detach().clone()
        report[f"{part}_loss"] = step(model)
        report[f"{part}_moved"] = not torch.equal(start, watched)
        del model, watched

    ar, nar = load_part("ar", stem)[0].eval(), load_part("nar", stem)[0].eval()
    request = Request(list(range(10)), ["en"] * 10)
    (result,) = synthesize(ar, nar, [request], Sampling(top_k=1, max_frames=FRAMES))
    report["codes"] = list(result.codes.shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
    report["peak_gb"] = peak * 1024 / 1e9
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
