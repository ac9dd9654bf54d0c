"""Text and a voice prompt to codes: the AR frame by frame, then the NAR codebook by codebook."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from revoice.model.aligner import Aligner
from revoice.model.prompts import Prompt
from revoice.model.rows import valid
from revoice.model.sounds import Entries
from revoice.model.valle import AR, BOS, EOS, NAR, Cache, ModelConfig, Parts, ar_mask

FRAMES_PER_SYMBOL = 16  # an utterance that has not ended by then is cut off
PACE = 2.0  # nobody speaks more than so much slower or faster than the training's mean
LONGEST = 2.0  # times what is planned, and a few symbols: neither is it longer than that
FEW = 2


@dataclass(frozen=True)
class Request:
    """One text to synthesize; `ids` and `languages` are one per symbol.

    `accent`: a language whose embedding the text gets in place of its own.
    """

    ids: Sequence[int]
    languages: Sequence[str]
    prompt: Prompt = field(default_factory=Prompt)
    accent: str | None = None


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


GREEDY = Sampling(top_k=1)


@dataclass(frozen=True)
class Synthesis:
    """What came of a request.

    `codes`: (frames, quantizers) int16 without the prompt; no frames if EOS came at the first step.
    `ended`: whether EOS came before the limit. `log_probability`: mean over the frames, and EOS,
    of the natural logarithm that the AR gives them at temperature 1.
    """

    codes: NDArray[np.int16]
    ended: bool
    log_probability: float


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


def nearest(sound: Tensor, entries: Tensor, weights: Tensor) -> Tensor:
    """The entries that are nearest to sounds, in the columns that their codebook looks at.

    sound: (N, T, C); entries: (K, C); weights: (C,). Returns (N, T) int64.
    """
    entries, weights = (x.to(sound.device) for x in (entries, weights))
    distances = (entries * weights).square().sum(1) - 2 * (sound * weights.square()) @ entries.T
    return distances.argmin(-1)  # less the square of the sound


@torch.inference_mode()
def synthesize(
    ar: AR,
    nar: NAR,
    requests: Sequence[Request],
    sampling: Sampling = GREEDY,
    seed: int = 0,
    batch_size: int = 16,
    entries: Entries | None = None,
    ar_prompts: bool = True,
) -> list[Synthesis]:
    """Codes for several requests, on the models' device.

    Requests of similar length share a batch of at most `batch_size` rows; every draw has its own
    random numbers, from `seed` and the request's place in the list, so that batches do not change
    the result. Of `best_of` draws the one wins that tells most of its text, where the NAR has an
    aligner, else the one with the highest `log_probability`; one that ended goes before one that
    did not, one with frames before one without. With the codebooks' `entries` the NAR says the
    sound that it expects, see `_all_codebooks`; without, its likeliest codes.
    Without `ar_prompts` the AR speaks in its own manner, and the NAR alone takes the voice on.

    Both models should be in evaluation mode. Raises ValueError for a request that does not fit
    them: no text, an unknown language, a symbol or a prompt of another size.
    """
    for index, request in enumerate(requests):
        _check(request, ar.config, index)
    aligner = nar.nar_aligner if nar.config.text_positions == "frames" else None
    if aligner is not None:
        requests = [_with_aligned_prompt(request, aligner) for request in requests]
    draws = [(index, draw) for index in range(len(requests)) for draw in range(sampling.best_of)]
    draws.sort(key=lambda row: _limit(requests[row[0]], sampling))
    found: dict[int, list[Synthesis]] = {index: [] for index in range(len(requests))}
    for start in range(0, len(draws), batch_size):
        rows = draws[start : start + batch_size]
        asked = [requests[index] for index, _ in rows]
        if not ar_prompts:
            asked = [replace(request, prompt=Prompt()) for request in asked]
        for row, drawn in zip(rows, _drawn(ar, asked, rows, sampling, seed), strict=True):
            found[row[0]].append(drawn)
    best = {
        index: max(of, key=lambda draw: _rank(draw, request, aligner))
        for request, (index, of) in zip(requests, found.items(), strict=True)
    }

    order = sorted((i for i in best if len(best[i].codes)), key=lambda i: len(best[i].codes))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _Batch.of([requests[i] for i in chosen], nar)
        firsts = [best[i].codes[:, 0] for i in chosen]
        for i, codes in zip(chosen, _all_codebooks(nar, batch, firsts, entries), strict=True):
            best[i] = Synthesis(codes, best[i].ended, best[i].log_probability)
    return [best[i] for i in range(len(requests))]


def _drawn(
    ar: AR, asked: Sequence[Request], rows: Sequence[tuple[int, int]], sampling: Sampling, seed: int
) -> list[Synthesis]:
    """The first codebook of some requests; `rows` are the places and numbers of their draws."""
    batch, limits = _Batch.of(asked, ar), [_limit(request, sampling) for request in asked]
    planned = batch.expected(ar) / sampling.speed
    if ar.config.text_positions == "frames":
        longest = [math.ceil(LONGEST * n) + FEW * FRAMES_PER_SYMBOL for n in planned.tolist()]
        limits = [min(pair) for pair in zip(limits, longest, strict=True)]
    uniform = np.zeros((len(rows), max(limits)), np.float32)
    for i, row in enumerate(rows):
        uniform[i, : limits[i]] = np.random.default_rng((seed, *row)).random(limits[i])
    return _first_codebook(ar, batch, planned, limits, sampling, torch.from_numpy(uniform))


def _with_aligned_prompt(request: Request, aligner: Aligner) -> Request:
    prompt = request.prompt
    if prompt.lasting is not None or not len(prompt.codes) or not prompt.ids:
        return request
    lasting = aligner.frames(prompt.ids, prompt.codes[:, 0]).tolist()
    return replace(request, prompt=replace(prompt, lasting=lasting))


@dataclass
class _Batch:
    """Prompt and target text joined, and the prompts' codes; right-padded."""

    text: Tensor  # (N, S)
    text_lens: Tensor  # (N,)
    prompt_text_lens: Tensor  # (N,)
    languages: Tensor | None  # (N, S)
    prompts: Tensor  # (N, P, quantizers)
    prompt_lens: Tensor  # (N,)
    prompt_parts: list[list[tuple[int, int]]]

    @classmethod
    def of(cls, requests: Sequence[Request], model: AR | NAR) -> "_Batch":
        config, device = model.config, next(model.parameters()).device
        ids = [[*request.prompt.ids, *request.ids] for request in requests]
        codes = [np.asarray(request.prompt.codes, np.int64) for request in requests]
        text, text_lens = _pad(ids, device)
        prompts, prompt_lens = _pad([c.reshape(-1, config.quantizers) for c in codes], device)
        languages = None
        if config.languages:
            languages, _ = _pad([_languages(request, config) for request in requests], device)
        of_prompts = torch.tensor([len(request.prompt.ids) for request in requests], device=device)
        parts = [request.prompt.parts for request in requests]
        return cls(text, text_lens, of_prompts, languages, prompts, prompt_lens, parts)

    def expected(self, ar: AR) -> Tensor:
        """(N,) frames that the texts after the prompts are expected to take, at a prompt's pace.

        Zeros for a model that does not place its text.
        """
        if ar.config.text_positions == "symbols":
            return torch.zeros_like(self.text_lens)
        each = ar.ar_durations(self.text, ~valid(self.text_lens, self.text.shape[1]))
        of_prompt = (each * valid(self.prompt_text_lens, self.text.shape[1])).sum(1)
        pace = self.prompt_lens / of_prompt.clamp(min=1e-3)
        pace = torch.where(self.prompt_lens > 0, pace.clamp(1 / PACE, PACE), 1.0)
        return (each.sum(1) - of_prompt) * pace

    def planned(self, frames: Tensor) -> Parts:
        """Those of prompts, and texts that take (N,) frames."""
        symbols = (self.text_lens - self.prompt_text_lens).tolist()
        return self._parts([[one] for one in zip(symbols, frames.tolist(), strict=True)])

    def aligned(self, aligner: Aligner, firsts: Sequence[NDArray[np.int16]]) -> Parts:
        """Those of prompts, and texts that are said by codes (frames,) of the first codebook."""
        texts = zip(self.text.cpu().numpy(), self.text_lens, self.prompt_text_lens, strict=True)
        ids = [row[begun:end] for row, end, begun in texts]
        found = [aligner.frames(*pair).tolist() for pair in zip(ids, firsts, strict=True)]
        return self._parts([[(1, frames) for frames in lasting] for lasting in found])

    def _parts(self, after: Sequence[Sequence[tuple[int, float]]]) -> Parts:
        sizes = [[*of, *text] for of, text in zip(self.prompt_parts, after, strict=True)]
        return Parts.of_sizes(sizes).to(self.text.device)


def _first_codebook(
    ar: AR,
    batch: _Batch,
    planned: Tensor,
    limits: Sequence[int],
    sampling: Sampling,
    uniform: Tensor,
) -> list[Synthesis]:
    """Codes (frames, quantizers) of every row up to EOS or its limit, the first codebook filled.

    `planned`: (N,) frames that they are expected to take.
    """
    device, count = batch.text.device, len(limits)
    limit, uniform = torch.tensor(limits, device=device), uniform.to(device)
    codes = torch.zeros(count, max(limits), ar.config.quantizers, dtype=torch.long, device=device)
    frames = torch.zeros(count, dtype=torch.long, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    log_probability = torch.zeros(count, device=device)

    # Slots of the cache: text, BOS and prompt, generated frames; `seen`: those without padding.
    audio = torch.nn.functional.pad(batch.prompts[:, :, 0], (1, 0), value=BOS)
    text_length, prefix = batch.text.shape[1], batch.text.shape[1] + audio.shape[1]
    reading = ar.read(batch.text, batch.text_lens, batch.languages, batch.planned(planned))
    x = torch.cat((ar.embed_text(reading), ar.embed_audio(audio, reading)), 1)
    cache = Cache(ar.config, count, prefix + max(limits), like=x)
    text_seen = valid(batch.text_lens, text_length)
    audio_seen = valid(batch.prompt_lens + 1, audio.shape[1])
    generated = torch.ones(count, max(limits), dtype=torch.bool, device=device)
    seen = torch.cat((text_seen, audio_seen, generated), 1)
    mask = ar_mask(batch.text_lens, text_length, audio.shape[1])
    hidden = ar.ar_decoder(x, partial(cache.attend, mask=mask))
    rows = torch.arange(count, device=device)  # which request each row of the cache belongs to
    hidden = hidden[rows, text_length + batch.prompt_lens]
    position = batch.prompt_lens + 1
    for step in range(max(limits)):
        logits = ar.ar_predict_layer(hidden).float()
        code = sample(logits, sampling, uniform[rows, step])
        running = ~ended[rows] & (step < limit[rows])
        alive, drawn = rows[running], code[running]
        chosen = logits.log_softmax(-1).gather(1, code.unsqueeze(1)).squeeze(1)
        log_probability[alive] += chosen[running]
        ended[alive] = drawn == EOS
        codes[alive, step, 0] = drawn
        frames[alive] += drawn != EOS
        left = ~ended[rows] & (step + 1 < limit[rows])
        remaining = int(left.sum())
        if remaining == 0:
            break
        if remaining <= len(rows) // 2:
            kept = left.nonzero().squeeze(1)
            rows, code, position, seen = rows[kept], code[kept], position[kept], seen[kept]
            cache.keep(kept)
            reading = reading.keep(kept)
        visible = seen[:, : cache.length + 1]
        step_mask = None if bool(visible.all()) else visible[:, None, None]
        # A row that has ended repeats EOS until it is dropped; nobody reads what it computes.
        x = ar.embed_audio(code.unsqueeze(1), reading, position + step)
        hidden = ar.ar_decoder(x, partial(cache.attend, mask=step_mask)).squeeze(1)

    mean = (log_probability / (frames + ended)).tolist()
    return [
        Synthesis(codes[i, :n].short().cpu().numpy(), bool(ended[i]), mean[i])
        for i, n in enumerate(frames.tolist())
    ]


def _all_codebooks(
    nar: NAR, batch: _Batch, firsts: Sequence[NDArray[np.int16]], entries: Entries | None
) -> list[NDArray[np.int16]]:
    """Complete the codes (frames,) of the first codebook to (frames, quantizers), greedily.

    With `entries`, what is said is the mean of all sounds under the NAR's distribution. Of a pitch
    or a loudness in fine steps, hundreds of entries are about as likely, and their mean is known
    far better than which of them has the most of it. Each codebook takes what is nearest to its
    own mean and to what the ones before it left over.
    """
    device, quantizers = batch.text.device, nar.config.quantizers
    starts, lens = batch.prompt_lens.tolist(), [len(codes) for codes in firsts]
    ends = [start + length for start, length in zip(starts, lens, strict=True)]
    codes = torch.zeros(len(firsts), max(ends), quantizers, dtype=torch.long, device=device)
    codes[:, : batch.prompts.shape[1]] = batch.prompts
    for i, first in enumerate(firsts):
        codes[i, starts[i] : ends[i], 0] = torch.from_numpy(first).to(codes)
    code_lens = torch.tensor(ends, device=device)
    generated = valid(code_lens, max(ends)) & ~valid(batch.prompt_lens, max(ends))
    parts = None
    if nar.config.text_positions == "frames":
        parts = batch.aligned(nar.nar_aligner, firsts)
    how = (batch.prompt_lens, batch.languages, parts)
    given = (batch.text, batch.text_lens, codes, code_lens)
    at_once = nar(*given, None, *how) if nar.config.sounds else None
    left = torch.zeros((), device=device)  # of what is expected so far, what no code says yet
    for quantizer in range(1, quantizers):
        logits = nar(*given, quantizer, *how) if at_once is None else at_once[:, :, quantizer - 1]
        found = logits.argmax(-1)
        if entries:
            values, weights = (x[quantizer].to(device) for x in entries)
            left = left + logits.float().softmax(-1) @ values
            found = nearest(left, values, weights)
            left = left - values[found]
        codes[:, :, quantizer] = torch.where(generated, found, codes[:, :, quantizer])
    whole = codes.short().cpu().numpy()
    return [whole[i, starts[i] : ends[i]] for i in range(len(firsts))]


def _rank(
    synthesis: Synthesis, request: Request, aligner: Aligner | None
) -> tuple[bool, bool, float]:
    codes = synthesis.codes[:, 0]
    told = aligner.told(request.ids, codes) if aligner else synthesis.log_probability
    return len(codes) > 0, synthesis.ended, told


def _limit(request: Request, sampling: Sampling) -> int:
    limit = FRAMES_PER_SYMBOL * (len(request.prompt.ids) + len(request.ids))
    return limit if sampling.max_frames is None else min(limit, sampling.max_frames)


def _languages(request: Request, config: ModelConfig) -> list[int]:
    target = [request.accent or language for language in request.languages]
    return [config.languages.index(name) for name in (*request.prompt.languages, *target)]


def _check(request: Request, config: ModelConfig, index: int) -> None:
    """Raise ValueError where the request does not fit the model."""
    prompt, name = request.prompt, f"request {index}"
    if not request.ids:
        raise ValueError(f"{name} has no text")
    if len(request.ids) != len(request.languages) or len(prompt.ids) != len(prompt.languages):
        raise ValueError(f"{name} does not name one language per symbol")
    if prompt.lasting is not None and len(prompt.lasting) != len(prompt.ids):
        raise ValueError(f"{name}: its prompt does not say how long each symbol lasts")
    highest = max((*prompt.ids, *request.ids))
    if highest >= config.text_symbols:
        raise ValueError(
            f"{name} has symbol {highest}, the model knows {config.text_symbols}: "
            "was its text tokenized by another tokenizer than the model's?"
        )
    if prompt.codes.ndim != 2 or (len(prompt.codes) and prompt.codes.shape[1] != config.quantizers):
        raise ValueError(
            f"{name}: the prompt's codes are {prompt.codes.shape}, "
            f"expected (frames, {config.quantizers})"
        )
    said = [request.accent] if request.accent else request.languages
    unknown = {*prompt.languages, *said} - set(config.languages)
    if config.languages and unknown:
        raise ValueError(
            f"{name} is in {', '.join(sorted(unknown))}; "
            f"the model knows {', '.join(config.languages)}"
        )


def _pad(rows: Sequence[Sequence[int] | NDArray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack rows of different lengths, int64, zeros after their ends; and the lengths (N,)."""
    tensors = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
    return padded.to(device), torch.tensor([len(row) for row in rows], device=device)
