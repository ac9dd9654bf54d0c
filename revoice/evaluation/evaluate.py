"""Loss and Top10Accuracy of a model part, the same in training, validation and evaluation."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor, nn

from revoice.files import sha256
from revoice.model import Part
from revoice.model.losses import ar_loss, ar_top10, nar_loss, nar_top10
from revoice.model.valle import AR, NAR
from revoice.training.data import Batch, CodesDataset, load_batches, ordered_batches

PROMPT_FRAMES = 225  # longest prompt of the NAR: 3 s
PROMPT_SHARE = 0.25  # of an utterance, in validation


def prompt_frames(code_lens: Tensor, share: float) -> Tensor:
    """(N,) leading frames that show the NAR all codebooks: a share of each, at most 3 s."""
    return (code_lens * share).long().clamp(max=PROMPT_FRAMES)


def count_positions(part: Part, batch: Batch, share: float) -> int:
    """How many predictions of a batch the loss sums over."""
    if part == "ar":
        return int(batch.code_lens.sum()) + len(batch.code_lens)
    return int((batch.code_lens - prompt_frames(batch.code_lens, share)).sum())


def batch_loss(
    part: Part, model: nn.Module, batch: Batch, quantizer: int, share: float
) -> tuple[Tensor, Tensor]:
    """Run one batch.

    Args:
        quantizer: codebook 1 to 7 that the NAR predicts; the AR does not look at it.
        share: of each utterance that is the NAR's prompt.

    Returns:
        The loss, summed over positions, to differentiate; and (4,) float64: loss sum, positions,
        hits among the ten best, positions that hits are counted on (the AR's EOS is none).
    """
    text = (batch.text, batch.text_lens, batch.codes, batch.code_lens)
    if part == "ar":
        logits = model(*text, batch.languages)
        loss, positions = ar_loss(logits, batch.codes, batch.code_lens)
        hits, counted = ar_top10(logits.detach(), batch.codes, batch.code_lens)
    else:
        prompt = prompt_frames(batch.code_lens, share)
        logits = model(*text, quantizer, prompt, batch.languages)
        what = (batch.codes, batch.code_lens, quantizer, prompt)
        loss, positions = nar_loss(logits, *what)
        hits, counted = nar_top10(logits.detach(), *what)
    return loss, torch.stack([x.detach().double() for x in (loss, positions, hits, counted)])


@torch.no_grad()
def measure(
    part: Part,
    model: AR | NAR,
    batches: Iterable[Batch],
    device: torch.device | str,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Sums over batches, in evaluation mode: nothing random takes part.

    Args:
        stop: asked before every batch; true ends it early.

    Returns:
        (rows, 4) float64 as `batch_loss` gives them; one row for the AR, seven for the NAR's
        quantizers 1 to 7, each with a quarter of the utterance as the prompt.
    """
    quantizers = range(1, model.config.quantizers) if part == "nar" else [0]
    sums = torch.zeros(len(quantizers), 4, dtype=torch.float64, device=device)
    training = model.training
    model.eval()
    for batch in batches:
        if stop():
            break
        batch = batch.to(device)
        with autocast():
            for row, quantizer in enumerate(quantizers):
                sums[row] += batch_loss(part, model, batch, quantizer, PROMPT_SHARE)[1]
    model.train(training)
    return sums


def figures(sums: Tensor) -> dict[str, float]:
    """(4,) sums to {"loss", "top10_accuracy", "positions"}; loss is the mean in nats."""
    loss, positions, hits, counted = sums.tolist()
    return {
        "loss": loss / positions if positions else float("nan"),
        "top10_accuracy": hits / counted if counted else float("nan"),
        "positions": int(positions),
    }


def evaluate(
    models: dict[Part, AR | NAR],
    splits: dict[str, str | Path],
    batch_seconds: float = 120,
    max_train_cuts: int | None = None,
    seed: int = 1,
    device: torch.device | str = "cpu",
    ends: Sequence[int] = (),
) -> dict[str, Any]:
    """Loss and Top10Accuracy of the parts on each split.

    Args:
        splits: name to the manifest of its cuts; "train" is sampled, the others are read whole.
        max_train_cuts: how many training cuts, drawn with `seed`; None: all.
        ends: ids before and after a text, as `tokenizer.ends`.

    Returns:
        {"ar": {"train": {"loss", "top10_accuracy", "positions"}, ...}, "nar": {...}}, the NAR's
        with the same figures for each of "quantizers": {"1": ..., "7": ...}.
    """
    results: dict[str, Any] = {}
    for part, model in models.items():
        model.to(device)
        dataset = CodesDataset(model.config.pad, model.config.languages, ends=ends)
        results[part] = {}
        for split, path in splits.items():
            cuts: Iterable[Cut] = CutSet.from_jsonl_lazy(path)
            if split == "train" and max_train_cuts is not None:
                cuts = draw_cuts(cuts, max_train_cuts, seed)
            batches = load_batches(dataset, ordered_batches(cuts, batch_seconds))
            sums = measure(part, model, batches, device)
            results[part][split] = figures(sums.sum(0))
            if part == "nar":
                quantizers = {str(row): figures(values) for row, values in enumerate(sums, 1)}
                results[part][split]["quantizers"] = quantizers
    return results


def draw_cuts(cuts: Iterable[Cut], number: int, seed: int) -> list[Cut]:
    """At most `number` cuts, each equally likely, from one pass over a lazy set."""
    rng, source = random.Random(seed), iter(cuts)
    drawn = list(islice(source, number))
    for seen, cut in enumerate(source, number + 1):  # reservoir sampling
        if (place := rng.randrange(seen)) < number:
            drawn[place] = cut
    return drawn


def provenance(
    data: str, codec: Mapping[str, Any], model: Mapping[str, Any], weights: str | Path
) -> dict[str, str]:
    """What stands under every table: {"data": ..., "codec", "tokenizer", "checkpoint"}.

    `data` is what was measured, e.g. "asterisk: 200 train, 28 dev, 33 test cuts", `codec` a
    codec.json, `model` the model's JSON, `weights` its safetensors.
    """
    tokenizer = model.get("tokenizer") or {}
    return {
        "data": data,
        "codec": f"{codec.get('describe', codec['name'])}; {codec.get('reason', 'as configured')}",
        "tokenizer": f"{tokenizer.get('name')} (sha256 {str(tokenizer.get('sha256'))[:8]})",
        "checkpoint": f"{weights} (sha256 {sha256(weights)[:8]})",
    }
