"""The first codebook of many utterances, a frame of each at a time; who ends makes room."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from revoice.model.rows import Rows, padded
from revoice.model.stepping import Slots
from revoice.model.valle import AR, BOS, EOS, Parts, Reading


@dataclass(frozen=True)
class Sampling:
    """How the AR draws the first codebook.

    `top_k` keeps that many of the most probable codes (1 is greedy, None keeps all), `top_p` of
    these the fewest whose probabilities reach that sum (1.0 keeps all), after division of the
    logits by `temperature`. `best_of` draws that many per text and keeps one. `max_frames` ends an
    utterance before the limit of 16 frames per symbol of prompt and text, or of twice what an AR
    plans that knows how long symbols last; such a one speaks as much faster than it would by itself
    as `speed` says.
    """

    top_k: int | None = None
    top_p: float = 1.0
    temperature: float = 1.0
    best_of: int = 1
    max_frames: int | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        counts = [self.top_k, self.best_of, self.max_frames]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(f"{self}: top_k, best_of and max_frames must be at least 1")
        if not 0 < self.top_p <= 1 or self.temperature <= 0 or self.speed <= 0:
            raise ValueError(f"{self}: top_p must be in (0, 1], temperature and speed above 0")


@dataclass(frozen=True)
class Draw:
    """One utterance to draw: what comes before it, and what it may take.

    `text`: ids of prompt and text; `languages`: rows of the embedding, or None; `prompt`: codes
    of the first codebook; `sizes`: symbols and frames of each part, as of `Parts.of_sizes`;
    `limit`: frames at most; `seed`: of its random numbers.
    """

    text: Sequence[int]
    languages: Sequence[int] | None
    prompt: NDArray[np.integer]
    sizes: Sequence[tuple[int, float]]
    limit: int
    seed: tuple[int, ...]


@dataclass
class Drawn:
    """Codes of the first codebook as they come; `log_probability`: the sum, EOS counted."""

    codes: list[int]
    ended: bool = False
    log_probability: float = 0.0

    @property
    def mean(self) -> float:
        """The mean over the frames, and EOS."""
        return self.log_probability / max(1, len(self.codes) + self.ended)


def sample(logits: Tensor, sampling: Sampling, uniform: Tensor) -> Tensor:
    """Draw one class per row of (N, classes) logits by inverting the distribution at `uniform`.

    `uniform`: (N,) in [0, 1). Returns (N,) int64.
    """
    if sampling.top_k == 1:
        return logits.argmax(-1)
    top_k = min(sampling.top_k or logits.shape[-1], logits.shape[-1])
    values, classes = (logits.float() / sampling.temperature).topk(top_k, dim=-1)
    probabilities = values.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = before < sampling.top_p
    cumulative = probabilities.masked_fill(~kept, 0.0).cumsum(-1)
    pick = (cumulative <= uniform.unsqueeze(1) * cumulative[:, -1:]).sum(-1, keepdim=True)
    pick = pick.clamp(max=kept.sum(-1, keepdim=True) - 1)
    return classes.gather(1, pick).squeeze(1)


class Speaking:
    """The utterances that are being spoken: each in a slot, with its hidden state."""

    def __init__(self, ar: AR, draws: Sequence[Draw], slots: int) -> None:
        self.ar, self.draws = ar, draws
        self.device = ar.ar_predict_layer.weight.device
        symbols = max(len(draw.text) for draw in draws)
        capacity = max(len(draw.text) + len(draw.prompt) + 1 + draw.limit for draw in draws)
        self.slots = Slots.of(ar, slots, capacity)
        self.hidden = torch.zeros(slots, ar.config.width, device=self.device)
        self.position = torch.zeros(slots, dtype=torch.long, device=self.device)
        self.uniform = np.zeros((slots, max(draw.limit for draw in draws)), np.float32)
        at = torch.zeros(slots, symbols, device=self.device)
        placed = at if ar.config.text_positions == "frames" else None
        width = ar.config.width if placed is not None else 0  # else nothing of it is read again
        read = torch.zeros(slots, symbols, width, device=self.device)
        self.reading = Reading(read, torch.zeros_like(self.position), placed)
        self.who = [-1] * slots  # draws; -1: nobody's, or one that has ended
        self.found = [Drawn([]) for _ in draws]

    def begin(self, these: Sequence[int]) -> None:
        """Read the prefixes of some draws into as many free slots."""
        free = [slot for slot, who in enumerate(self.who) if who < 0][: len(these)]
        draws, ar = [self.draws[index] for index in these], self.ar
        text, text_lens = padded([draw.text for draw in draws], self.device)
        audio, audio_lens = padded([[BOS, *draw.prompt.tolist()] for draw in draws], self.device)
        languages = None
        if ar.config.languages:
            languages, _ = padded([draw.languages or [] for draw in draws], self.device)
        parts = Parts.of_sizes([draw.sizes for draw in draws]).to(self.device)
        reading = ar.read(text, text_lens, languages, parts)
        rows = Rows(text_lens, audio_lens, causal=True)
        x = rows.pack(ar.embed_text(reading), ar.embed_audio(audio, reading))
        which = torch.tensor(free, device=self.device)
        self.hidden[which] = self.slots.prefix(ar, x, rows, which)
        self.position[which] = audio_lens
        self.reading.text_lens[which] = text_lens
        if self.reading.at is not None and reading.at is not None:
            length = text.shape[1]
            self.reading.symbols[which, :length] = reading.symbols
            self.reading.at[which, :length] = reading.at
        for slot, index, draw in zip(free, these, draws, strict=True):
            self.who[slot] = index
            self.uniform[slot, : draw.limit] = np.random.default_rng(draw.seed).random(draw.limit)

    def say(self, sampling: Sampling) -> Tensor:
        """Draw the next code of every slot, and take down those that somebody says."""
        said = [len(self.found[who].codes) if who >= 0 else 0 for who in self.who]
        uniform = torch.from_numpy(self.uniform[np.arange(len(said)), said]).to(self.device)
        logits = self.ar.ar_predict_layer(self.hidden).float()
        codes = sample(logits, sampling, uniform)
        chosen = logits.log_softmax(-1).gather(1, codes.unsqueeze(1)).squeeze(1)
        told = zip(self.who, codes.tolist(), chosen.tolist(), strict=True)
        for slot, (who, code, log_probability) in enumerate(told):
            if who < 0:
                continue
            found = self.found[who]
            found.log_probability += log_probability
            if code == EOS:
                found.ended = True
            else:
                found.codes.append(code)
            if found.ended or len(found.codes) == self.draws[who].limit:
                self.who[slot] = -1
        return codes

    def go_on(self, codes: Tensor) -> None:
        """Let every slot hear what it has said; those of nobody compute what nobody reads."""
        # nobody's stays where it is, or it would come to the end of its slot
        idle = torch.tensor([who < 0 for who in self.who], device=self.device)
        self.slots.lens[idle] = 0
        audio = codes.masked_fill(idle, 0).unsqueeze(1)
        x = self.ar.embed_audio(audio, self.reading, self.position)
        self.hidden = self.slots.step(self.ar, x.squeeze(1))
        self.position += 1

    def close_ranks(self) -> None:
        """Give up the slots of those that have ended."""
        kept = [slot for slot, who in enumerate(self.who) if who >= 0]
        slots = torch.tensor(kept, device=self.device)
        self.slots.keep(slots)
        self.hidden, self.position = self.hidden[slots], self.position[slots]
        self.reading, self.uniform = self.reading.keep(slots), self.uniform[kept]
        self.who = [self.who[slot] for slot in kept]


def draw(ar: AR, draws: Sequence[Draw], sampling: Sampling, batch_size: int) -> list[Drawn]:
    """The first codebook of all draws, at most `batch_size` at a time.

    Whoever has come to EOS or a limit leaves, and the next begins, those that may take the longest
    first; when nobody waits any more, half of the slots are given up as soon as they are idle.
    """
    if not draws:
        return []
    waiting = deque(sorted(range(len(draws)), key=lambda index: -draws[index].limit))
    speaking = Speaking(ar, draws, min(batch_size, len(draws)))
    while True:
        free = sum(who < 0 for who in speaking.who)
        room = math.ceil(len(speaking.who) / 4)  # prefixes are read several at a time
        if waiting and (free >= min(room, len(waiting))):
            speaking.begin([waiting.popleft() for _ in range(min(free, len(waiting)))])
        elif free == len(speaking.who):
            return speaking.found
        elif not waiting and 2 * free >= len(speaking.who):
            speaking.close_ranks()
        codes = speaking.say(sampling)
        if any(who >= 0 for who in speaking.who):
            speaking.go_on(codes)
