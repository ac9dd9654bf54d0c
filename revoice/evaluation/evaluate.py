"""Loss and Top10Accuracy of a trained model's parts on the splits."""

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from revoice.files import sha256
from revoice.model import Part
from revoice.model.precision import autocast
from revoice.model.valle import AR, NAR
from revoice.training.data import CodesDataset, load_batches, ordered_batches
from revoice.training.objective import figures, measure


def evaluate(
    models: dict[Part, AR | NAR],
    splits: dict[str, str | Path],
    batch_seconds: float = 60,
    max_train_cuts: int | None = None,
    seed: int = 1,
    device: torch.device | str = "cpu",
    ends: Sequence[int] = (),
    precision: str = "fp32",
) -> dict[str, Any]:
    """Loss and Top10Accuracy of the parts on each split.

    Args:
        splits: name to the manifest of its cuts; "train" is sampled, the others are read whole.
        max_train_cuts: how many training cuts, drawn with `seed`; None: all.
        ends: ids before and after a text, as `tokenizer.ends`.
        precision: what matrices are multiplied in: fp32, bf16 or fp16.

    Returns {"ar": {"train": {"loss", "top10_accuracy", "positions"}, ...}, "nar": {...}}, the NAR's
    with the same figures for each of "quantizers": {"1": ..., "7": ...}.
    """
    results: dict[str, Any] = {part: {} for part in models}
    for part, model in models.items():
        model.to(device)
        dataset = CodesDataset(model.config.pad, model.config.languages, ends=ends)
        for split, path in splits.items():
            cuts: Iterable[Cut] = CutSet.from_jsonl_lazy(path)
            if split == "train" and max_train_cuts is not None:
                cuts = draw_cuts(cuts, max_train_cuts, seed)
            batches = load_batches(dataset, ordered_batches(cuts, batch_seconds))
            sums = measure(part, model, batches, device, partial(autocast, precision, device))
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
