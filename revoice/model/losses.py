"""Losses and Top10Accuracy, as sums and counts, so that batches add up exactly.

All functions take padded batches, codes (N, T, quantizers) with `code_lens` (N,): what padding
holds changes nothing. Losses are a sum (float32 scalar) and the number of positions (int64 scalar);
training minimizes the quotient, the mean cross-entropy (in nats) of the positions that count.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from revoice.model.rows import valid
from revoice.model.valle import EOS

IGNORE = -100


def ar_targets(codes: Tensor, code_lens: Tensor) -> Tensor:
    """(N, T, quantizers) codes to the AR's targets (N, T + 1) int64: c_1 ... c_T, EOS.

    Positions after EOS are IGNORE. (Lifeiteng's trainer counts them as further EOS targets, which
    makes its AR loss lower the more a batch is padded.)
    """
    first = codes[:, :, 0].long()
    targets = F.pad(first.masked_fill(~valid(code_lens, codes.shape[1]), IGNORE), (0, 1))
    targets[:, -1] = IGNORE
    return targets.scatter(1, code_lens.unsqueeze(1), EOS)


def nar_targets(
    codes: Tensor, code_lens: Tensor, quantizer: int, prompt_frames: int | Tensor
) -> Tensor:
    """(N, T, quantizers) codes to the NAR's targets (N, T) int64, IGNORE in prompt and padding."""
    if isinstance(prompt_frames, int):
        prompt_frames = torch.full_like(code_lens, prompt_frames)
    length = codes.shape[1]
    counts = valid(code_lens, length) & ~valid(prompt_frames, length)
    return codes[:, :, quantizer].long().masked_fill(~counts, IGNORE)


def ar_loss(logits: Tensor, codes: Tensor, code_lens: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the AR's logits (N, T + 1, 1025): T + 1 positions an utterance."""
    return _cross_entropy(logits, ar_targets(codes, code_lens))


def nar_loss(
    logits: Tensor, codes: Tensor, code_lens: Tensor, quantizer: int, prompt_frames: int | Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the NAR's logits (N, T, 1024) on the frames after the prompt.

    The sum is plain: the originals' NAR loss is this sum times T / (T - prompt_frames).
    """
    return _cross_entropy(logits, nar_targets(codes, code_lens, quantizer, prompt_frames))


def ar_top10(logits: Tensor, codes: Tensor, code_lens: Tensor) -> tuple[Tensor, Tensor]:
    """Hits and count of Top10Accuracy in the AR; EOS does not count as a target."""
    targets = ar_targets(codes, code_lens)
    return top10_hits(logits, targets.masked_fill(targets == EOS, IGNORE), IGNORE)


def nar_top10(
    logits: Tensor, codes: Tensor, code_lens: Tensor, quantizer: int, prompt_frames: int | Tensor
) -> tuple[Tensor, Tensor]:
    """Hits and count of Top10Accuracy in the NAR, on the frames after the prompt."""
    return top10_hits(logits, nar_targets(codes, code_lens, quantizer, prompt_frames), IGNORE)


def top10_hits(logits: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """How many targets (N, T) are among the ten highest logits, ties as `torch.topk` breaks them.

    Returns hits and the number of positions that count, those but `ignore_index`: int64 scalars.
    """
    best = logits.topk(min(10, logits.shape[-1]), dim=-1).indices
    counts = targets != ignore_index
    hits = (best == targets.unsqueeze(-1)).any(-1) & counts
    return hits.sum(), counts.sum()


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    # float32 even where autocast gave half precision: a sum over thousands of frames needs it.
    loss = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return loss, (targets != IGNORE).sum()
