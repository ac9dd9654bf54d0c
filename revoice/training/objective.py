"""What is trained: the loss of a batch, and the sums of it that validation and evaluation take."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from revoice.devices import sent
from revoice.model import Part
from revoice.model.durations import unexplained
from revoice.model.losses import ar_loss, ar_top10, nar_loss, nar_top10
from revoice.model.rows import places, valid
from revoice.model.valle import AR, NAR
from revoice.training.data import Batch

PROMPT_FRAMES = 225  # longest prompt of the NAR: 3 s of EnCodec, 6 s of WORLD
PROMPT_SHARE = 0.25  # of an utterance, in validation
SWAPPED = 8  # batches of a validation that are measured with each other's texts as well


def prompt_frames(code_lens: Tensor, share: float) -> Tensor:
    """(N,) leading frames that show the NAR all codebooks: a share of each, at most 225."""
    return (code_lens * share).long().clamp(max=PROMPT_FRAMES)


def count_positions(part: Part, batch: Batch, share: float) -> int:
    """How many predictions of a batch the loss sums over."""
    if part == "ar":
        return int(batch.code_lens.sum()) + len(batch.code_lens)
    return int((batch.code_lens - prompt_frames(batch.code_lens, share)).sum())


def disturbed(codes: Tensor, code_lens: Tensor, share: float) -> Tensor:
    """(N, T, 8) codes, a share of whose frames are replaced by others of the batch, drawn anew.

    An AR that reads these in place of its true past, and still has to say what comes next, learns
    to look at the text more than at what it has just said, where its own mistakes will stand.
    """
    where = places(valid(code_lens, codes.shape[1]), codes.device)
    frames = codes.flatten(0, 1).index_select(0, where)
    other = frames[torch.randint(len(frames), codes.shape[:2], device=codes.device)]
    hit = torch.rand(codes.shape[:2], device=codes.device) < share
    return torch.where(hit.unsqueeze(2), other, codes)


def batch_loss(
    part: Part,
    model: nn.Module,
    batch: Batch,
    quantizer: int | None,
    share: float,
    noise: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, summed over positions, to differentiate; and what it is made of.

    That is (4,) float64 (float32 on MPS): loss sum, positions, hits among the ten best, positions
    that hits are counted on (the AR's EOS is none). The NAR predicts the codebook `quantizer`, 1 to
    7, with a `share` of each utterance as its prompt; one that predicts all at once (None) has the
    mean over codebooks. The AR looks at neither. It reads its past with `noise`, see `disturbed`.
    What is differentiated holds the durations' as well, which are in none of the sums.
    """
    if part == "nar":
        loss, rows = nar_sums(model, batch, quantizer, share)
        loss, sums = loss / len(rows), rows.mean(0)
    else:
        read = disturbed(batch.codes, batch.code_lens, noise) if noise > 0 else batch.codes
        given = (batch.text, batch.text_lens, read, batch.code_lens, batch.languages, batch.parts)
        logits = model(*given)
        what = (batch.codes, sent(batch.code_lens, logits.device))
        loss, positions = ar_loss(logits, *what)
        sums = _stacked(loss, positions, *ar_top10(logits.detach(), *what))
    durations = getattr(model, "ar_durations", None)
    if durations is not None and batch.parts is not None and torch.is_grad_enabled():
        padding = ~valid(batch.text_lens, batch.text.shape[1])
        said = durations(batch.text, sent(padding, batch.text.device))
        loss = loss + sums[1] * unexplained(said, padding, batch.parts.of, batch.parts.frames)
    return loss, sums


def nar_sums(
    model: nn.Module, batch: Batch, quantizer: int | None, share: float
) -> tuple[Tensor, Tensor]:
    """The NAR's loss, and (rows, 4) of what it is made of: of one codebook, or (None) of each."""
    prompt = prompt_frames(batch.code_lens, share)
    given = (batch.text, batch.text_lens, batch.codes, batch.code_lens)
    logits = model(*given, quantizer, prompt, batch.languages, batch.parts)
    each = logits.unbind(2) if quantizer is None else [logits]
    code_lens, prompt = (sent(lens, logits.device) for lens in (batch.code_lens, prompt))
    losses, rows = [], []
    for k, of_codebook in enumerate(each, quantizer or 1):
        what = (batch.codes, code_lens, k, prompt)
        loss, positions = nar_loss(of_codebook, *what)
        rows.append(_stacked(loss, positions, *nar_top10(of_codebook.detach(), *what)))
        losses.append(loss)
    return torch.stack(losses).sum(), torch.stack(rows)


def _stacked(*sums: Tensor) -> Tensor:
    precise = torch.float32 if sums[0].device.type == "mps" else torch.float64
    return torch.stack([x.detach().to(precise) for x in sums])


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

    (rows, 4) float64 as `batch_loss` gives them; one row for the AR, seven for the NAR's quantizers
    1 to 7, each with a quarter of the utterance as the prompt. `stop`, asked before every batch,
    may end it early.
    """
    rows = model.config.quantizers - 1 if part == "nar" else 1
    sums = torch.zeros(rows, 4, dtype=torch.float64)
    of_batches: list[Tensor] = []
    training = model.training
    model.eval()
    for batch in batches:
        if stop():
            break
        batch = batch.to(device)
        with autocast():
            if part == "ar":
                of_batches.append(batch_loss(part, model, batch, None, PROMPT_SHARE)[1])
            else:
                stages = model.config.stages
                found = [nar_sums(model, batch, k, PROMPT_SHARE)[1] for k in stages]
                of_batches.append(torch.cat(found))
    model.train(training)
    for each in of_batches:  # all is under way: now a GPU may be waited for
        sums += each.cpu()
    return sums


def figures(sums: Tensor) -> dict[str, float]:
    """(4,) sums to {"loss", "top10_accuracy", "positions"}; loss is the mean in nats."""
    loss, positions, hits, counted = sums.tolist()
    return {
        "loss": loss / positions if positions else float("nan"),
        "top10_accuracy": hits / counted if counted else float("nan"),
        "positions": int(positions),
    }


def swap_texts(batch: Batch) -> Batch:
    """Each utterance with the text, and its languages, of the one before it in the batch."""
    names = ("text", "text_lens") + (("languages",) if batch.languages is not None else ())
    rolled = {name: getattr(batch, name).roll(1, 0) for name in names}
    return replace(batch, **rolled, parts=None)


def measure_swapped(model: AR, batches: Iterable[Batch], most: int, *how: Any) -> Tensor:
    """(2, 4) sums as `measure` gives them, with their own texts and with each other's.

    Of the first `most` batches, those of several utterances. How much the second loss is above the
    first says whether the model reads. `how` is what `measure` takes after the batches.
    """
    several = [batch for batch in islice(batches, most) if len(batch.text) > 1]
    own = measure("ar", model, several, *how)
    return torch.cat([own, measure("ar", model, map(swap_texts, several), *how)])


def text_gap(sums: Tensor) -> float | None:
    """How far swapped texts raise the loss, in nats: of what `measure_swapped` gives."""
    (own, positions, *_), (other, *_) = sums.tolist()
    return (other - own) / positions if positions else None
