"""The first codebook of many utterances, a frame of each at a time; who ends makes room."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from revoice.config import SynthesisConfig
from revoice.devices import sent
from revoice.model.rows import Rows, larger, padded
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

    Against words that are said twice, or never end: with a `window`, a code that makes up more than
    `repetition` of the last `window` frames is drawn again among all codes (repetition-aware
    sampling, arXiv 2406.05370, section 3.2). `end_bias` times what an utterance is longer than
    planned, as a share of the plan, is added to the logit of EOS. `loop`: so many frames that are
    one span over and over, three times or more, end an utterance after the first of them.
    """

    top_k: int | None = None
    top_p: float = 1.0
    temperature: float = 1.0
    best_of: int = 1
    max_frames: int | None = None
    speed: float = 1.0
    window: int | None = None
    repetition: float = 0.1
    end_bias: float = 0.0
    loop: int | None = None

    def __post_init__(self) -> None:
        counts = [self.top_k, self.best_of, self.max_frames, self.window, self.loop]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(
                f"{self}: top_k, best_of, max_frames, window and loop must be at least 1"
            )
        if not 0 < self.top_p <= 1 or self.temperature <= 0 or self.speed <= 0:
            raise ValueError(f"{self}: top_p must be in (0, 1], temperature and speed above 0")
        if not 0 <= self.repetition <= 1 or self.end_bias < 0:
            raise ValueError(f"{self}: repetition must be in [0, 1], end_bias not below 0")


def sampling_of(config: SynthesisConfig, frame_rate: float) -> Sampling:
    """How a configuration has codes drawn of which there are so many a second."""
    keys = "top_k top_p temperature best_of speed window repetition end_bias".split()
    seconds = config.loop_seconds
    loop = None if seconds is None else max(3, round(seconds * frame_rate))
    return Sampling(**{key: getattr(config, key) for key in keys}, loop=loop)


@dataclass(frozen=True)
class Draw:
    """One utterance to draw: what comes before it, and what it may take.

    `text`: ids of prompt and text; `languages`: rows of the embedding, or None; `prompt`: codes
    of the first codebook; `sizes`: symbols and frames of each part, as of `Parts.of_sizes`, the
    last of which is what is planned (0: nobody knows); `limit`: frames at most; `seed`: of its
    random numbers.
    """

    text: Sequence[int]
    languages: Sequence[int] | None
    prompt: NDArray[np.integer]
    sizes: Sequence[tuple[int, float]]
    limit: int
    seed: tuple[int, ...]

    @property
    def positions(self) -> int:
        """Of text and audio, BOS with them, at most."""
        return len(self.text) + len(self.prompt) + 1 + self.limit


@dataclass
class Drawn:
    """Codes of the first codebook as they come; `log_probability`: the sum, EOS counted.

    `done`: nothing is added any more. Who sets it gives an utterance up.
    """

    draw: Draw
    codes: list[int] = field(default_factory=list)
    ended: bool = False
    done: bool = False
    log_probability: float = 0.0

    def __post_init__(self) -> None:
        # a number of each frame, and one more for those that are drawn again
        self.uniform = np.random.default_rng(self.draw.seed).random((2, self.draw.limit))
        self._same = np.zeros(0, np.int64)

    @property
    def mean(self) -> float:
        """The mean over the frames, and EOS."""
        return self.log_probability / max(1, len(self.codes) + self.ended)

    @property
    def overdue(self) -> float:
        """By what share of the plan it is longer than that."""
        planned = self.draw.sizes[-1][1]
        return max(0.0, len(self.codes) / planned - 1) if planned else 0.0

    def say(self, code: int, log_probability: float, loop: int | None) -> None:
        """Take down what is drawn: a code, or EOS."""
        self.log_probability += log_probability
        if code == EOS:
            self.ended = True
        else:
            self.codes.append(code)
            if loop and (turn := self._turn(loop)):
                del self.codes[len(self.codes) - loop + turn :]
                self.done = True
        self.done |= self.ended or len(self.codes) == self.draw.limit

    def _turn(self, loop: int) -> int:
        """The frames of a span that the last `loop` are made of, three times or more; 0: none."""
        longest = max(1, loop // 3)
        if not len(self._same):
            self._same = np.zeros(longest, np.int64)
        past = self.codes[-2 : -longest - 2 : -1]
        like = np.zeros(longest, bool)
        like[: len(past)] = np.asarray(past, np.int64) == self.codes[-1]
        self._same = np.where(like, self._same + 1, 0)  # frames that are as one so many before
        turns = np.flatnonzero(self._same + np.arange(1, longest + 1) >= loop)
        return int(turns[0]) + 1 if len(turns) else 0


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
    """The utterances that are being spoken: each in a slot, with its hidden state.

    Slots come as they are needed. `capacity` and `symbols`: positions, and symbols of text, that
    there is room for from the start.
    """

    def __init__(self, ar: AR, sampling: Sampling, capacity: int = 0, symbols: int = 0) -> None:
        self.ar, self.sampling = ar, sampling
        self.device = ar.ar_predict_layer.weight.device
        self.slots = Slots.of(ar, 0, capacity)
        self.hidden = torch.zeros(0, ar.config.width, device=self.device)
        self.position = torch.zeros(0, dtype=torch.long, device=self.device)
        at = torch.zeros(0, symbols, device=self.device)
        placed = at if ar.config.text_positions == "frames" else None
        width = ar.config.width if placed is not None else 0  # else nothing of it is read again
        read = torch.zeros(0, symbols, width, device=self.device)
        self.reading = Reading(read, torch.zeros_like(self.position), placed)
        self.who: list[Drawn | None] = []  # None: nobody, or one that has ended

    @property
    def free(self) -> int:
        """Slots of nobody."""
        return self.who.count(None)

    def begin(self, those: Sequence[Drawn]) -> None:
        """Read the prefixes of utterances into free slots, or new ones."""
        draws, ar = [drawn.draw for drawn in those], self.ar
        text, text_lens = padded([draw.text for draw in draws], self.device)
        audio, audio_lens = padded([[BOS, *draw.prompt.tolist()] for draw in draws], self.device)
        slots = max(len(self.who), len(self.who) - self.free + len(those))
        self._make_room(slots, max(draw.positions for draw in draws), text.shape[1])
        free = [slot for slot, who in enumerate(self.who) if who is None][: len(those)]
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
        for slot, drawn in zip(free, those, strict=True):
            self.who[slot] = drawn

    def step(self) -> list[Drawn]:
        """Draw the next code of every utterance, and let it hear that; those who are done leave."""
        codes = self._say()
        done = [drawn for drawn in self.who if drawn and drawn.done]
        self.who = [None if drawn and drawn.done else drawn for drawn in self.who]
        if self.free < len(self.who):
            self._go_on(codes)
        return done

    def _say(self) -> Tensor:
        """Draw the next code of every slot, and take down those that somebody says: (slots,)."""
        sampling, none = self.sampling, np.zeros(2)
        numbers = [who.uniform[:, len(who.codes)] if who else none for who in self.who]
        uniform = sent(torch.from_numpy(np.array(numbers, np.float32)), self.device)
        logits = self.ar.ar_predict_layer(self.hidden).float()
        biased = logits
        if sampling.end_bias:
            overdue = [sampling.end_bias * who.overdue if who else 0.0 for who in self.who]
            biased = logits.clone()
            biased[:, EOS] += sent(torch.tensor(overdue), self.device)
        codes = sample(biased, sampling, uniform[:, 0])
        if sampling.window:
            often = self._often(codes, sampling.window, sampling.repetition)
            everything = replace(sampling, top_k=None, top_p=1.0)
            codes = torch.where(often, sample(biased, everything, uniform[:, 1]), codes)
        chosen = logits.log_softmax(-1).gather(1, codes.unsqueeze(1)).squeeze(1)
        told = torch.stack((codes.double(), chosen.double())).tolist()  # waits for a GPU once
        for who, code, log_probability in zip(self.who, *told, strict=True):
            if who and not who.done:
                who.say(int(code), log_probability, sampling.loop)
        return codes

    def _often(self, codes: Tensor, window: int, repetition: float) -> Tensor:
        """(slots,) whether more than a share of an utterance's last frames are of this code."""
        past = np.full((len(self.who), window), -1)
        for slot, who in enumerate(self.who):
            if who and (last := who.codes[-window:]):
                past[slot, -len(last) :] = last
        same = sent(torch.from_numpy(past), self.device) == codes.unsqueeze(1)
        return (same.sum(1) > repetition * window) & (codes != EOS)

    def _go_on(self, codes: Tensor) -> None:
        """Let every slot hear what it has said; those of nobody compute what nobody reads."""
        # nobody's stays where it is, or it would come to the end of its slot
        free = [who is None for who in self.who]
        self.slots.rest(free)
        idle = sent(torch.tensor(free), self.device)
        audio = codes.masked_fill(idle, 0).unsqueeze(1)
        x = self.ar.embed_audio(audio, self.reading, self.position)
        self.hidden = self.slots.step(self.ar, x.squeeze(1))
        self.position += 1

    def close_ranks(self) -> None:
        """Give up the slots of those that have ended."""
        self._keep(len(self.who) - self.free, self.slots.capacity, self.reading.symbols.shape[1])

    def _make_room(self, slots: int, capacity: int, symbols: int) -> None:
        capacity = max(capacity, self.slots.capacity)
        symbols = max(symbols, self.reading.symbols.shape[1])
        now = (len(self.who), self.slots.capacity, self.reading.symbols.shape[1])
        if now != (slots, capacity, symbols):
            self._keep(slots, capacity, symbols)

    def _keep(self, slots: int, capacity: int, symbols: int) -> None:
        """Those who speak, in the first of so many slots of that size."""
        kept = [slot for slot, who in enumerate(self.who) if who]
        which = torch.tensor(kept, dtype=torch.long, device=self.device)
        self.slots = self.slots.moved(which, slots, capacity)
        self.hidden, self.position = (
            larger(each[which], slots) for each in (self.hidden, self.position)
        )
        self.reading = self.reading.moved(which, slots, symbols)
        self.who = [self.who[slot] for slot in kept] + [None] * (slots - len(kept))


def draw(ar: AR, draws: Sequence[Draw], sampling: Sampling, batch_size: int) -> list[Drawn]:
    """The first codebook of all draws, at most `batch_size` at a time.

    Whoever has come to EOS or a limit leaves, and the next begins, those that may take the longest
    first; when nobody waits any more, half of the slots are given up as soon as they are idle.
    """
    found = [Drawn(each) for each in draws]
    if not found:
        return []
    waiting = deque(sorted(found, key=lambda drawn: -drawn.draw.limit))
    capacity = max(each.positions for each in draws)
    speaking = Speaking(ar, sampling, capacity, max(len(each.text) for each in draws))
    slots = min(batch_size, len(found))
    while waiting or speaking.free < len(speaking.who):
        free = slots - len(speaking.who) + speaking.free
        if waiting and free >= min(math.ceil(slots / 4), len(waiting)):  # several at a time
            speaking.begin([waiting.popleft() for _ in range(min(free, len(waiting)))])
        elif not waiting and 2 * speaking.free >= len(speaking.who):
            speaking.close_ranks()
        speaking.step()
    return found
