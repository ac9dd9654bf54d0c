"""Text and a voice prompt to codes: the AR frame by frame, then the NAR codebook by codebook."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from revoice.model.durations import Durations
from revoice.model.prompts import Prompt
from revoice.model.sounds import Entries
from revoice.model.valle import AR, BOS, EOS, NAR, Cache, ModelConfig, Parts, ar_mask, valid

FRAMES_PER_SYMBOL = 16  # an utterance that has not ended by then is cut off
PACE = 2.0  # nobody speaks more than so much slower or faster than the training's mean


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
    utterance before the limit of 16 frames per symbol of prompt and text.
    """

    top_k: int | None = None
    top_p: float = 1.0
    temperature: float = 1.0
    best_of: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        counts = [self.top_k, self.best_of, self.max_frames]
        if any(count is not None and count < 1 for count in counts):
            raise ValueError(f"{self}: top_k, best_of and max_frames must be at least 1")
        if not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise ValueError(f"{self}: top_p must be in (0, 1], temperature above 0")


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
) -> list[Synthesis]:
    """Codes for several requests, on the models' device.

    Requests of similar length share a batch of at most `batch_size` rows; every draw has its own
    random numbers, from `seed` and the request's place in the list, so that batches do not change
    the result. Of `best_of` draws the one with the highest `log_probability` wins; one that ended
    goes before one that did not, one with frames before one without. With the codebooks'
    `entries` the NAR says the sound that it expects, see `_all_codebooks`; without, its likeliest
    codes.

    Both models should be in evaluation mode. Raises ValueError for a request that does not fit
    them: no text, an unknown language, a symbol or a prompt of another size.
    """
    for index, request in enumerate(requests):
        _check(request, ar.config, index)
    draws = [(index, draw) for index in range(len(requests)) for draw in range(sampling.best_of)]
    draws.sort(key=lambda row: _limit(requests[row[0]], sampling))
    best: dict[int, Synthesis] = {}
    for start in range(0, len(draws), batch_size):
        rows = draws[start : start + batch_size]
        asked = [requests[index] for index, _ in rows]
        batch, limits = _Batch.of(asked, ar), [_limit(request, sampling) for request in asked]
        uniform = np.zeros((len(rows), max(limits)), np.float32)
        for i, row in enumerate(rows):
            uniform[i, : limits[i]] = np.random.default_rng((seed, *row)).random(limits[i])
        found = _first_codebook(ar, batch, limits, sampling, torch.from_numpy(uniform))
        for (index, _), synthesis in zip(rows, found, strict=True):
            if index not in best or _rank(synthesis) > _rank(best[index]):
                best[index] = synthesis

    order = sorted((i for i in best if len(best[i].codes)), key=lambda i: len(best[i].codes))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _Batch.of([requests[i] for i in chosen], nar)
        firsts = [best[i].codes[:, 0] for i in chosen]
        for i, codes in zip(chosen, _all_codebooks(nar, batch, firsts, entries), strict=True):
            best[i] = Synthesis(codes, best[i].ended, best[i].log_probability)
    return [best[i] for i in range(len(requests))]


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

    def expected(self, durations: Durations | None) -> Tensor:
        """(N,) frames that the texts after the prompts are expected to take, at a prompt's pace.

        Zeros for a model that does not look at them, which has no `durations`.
        """
        if durations is None:
            return torch.zeros_like(self.text_lens)
        each = durations(self.text, ~valid(self.text_lens, self.text.shape[1]))
        of_prompt = (each * valid(self.prompt_text_lens, self.text.shape[1])).sum(1)
        pace = self.prompt_lens / of_prompt.clamp(min=1e-3)
        pace = torch.where(self.prompt_lens > 0, pace.clamp(1 / PACE, PACE), 1.0)
        return (each.sum(1) - of_prompt) * pace

    def parts(self, frames: Tensor) -> Parts:
        """Those of prompts, and texts that take (N,) frames."""
        symbols = (self.text_lens - self.prompt_text_lens).tolist()
        after = zip(symbols, frames.tolist(), strict=True)
        sizes = [[*of, text] for of, text in zip(self.prompt_parts, after, strict=True)]
        return Parts.of_sizes(sizes).to(self.text.device)


def _first_codebook(
    ar: AR, batch: _Batch, limits: Sequence[int], sampling: Sampling, uniform: Tensor
) -> list[Synthesis]:
    """Codes (frames, quantizers) of every row up to EOS or its limit, the first codebook filled."""
    device, count = batch.text.device, len(limits)
    limit, uniform = torch.tensor(limits, device=device), uniform.to(device)
    codes = torch.zeros(count, max(limits), ar.config.quantizers, dtype=torch.long, device=device)
    frames = torch.zeros(count, dtype=torch.long, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    log_probability = torch.zeros(count, device=device)

    # Slots of the cache: text, BOS and prompt, generated frames; `seen`: those without padding.
    audio = torch.nn.functional.pad(batch.prompts[:, :, 0], (1, 0), value=BOS)
    text_length, prefix = batch.text.shape[1], batch.text.shape[1] + audio.shape[1]
    parts = batch.parts(batch.expected(getattr(ar, "ar_durations", None)))
    reading = ar.read(batch.text, batch.text_lens, batch.languages, parts)
    x = torch.cat((ar.embed_text(reading), ar.embed_audio(audio, reading)), 1)
    cache = Cache(ar.config, count, prefix + max(limits), like=x)
    text_seen = valid(batch.text_lens, text_length)
    audio_seen = valid(batch.prompt_lens + 1, audio.shape[1])
    generated = torch.ones(count, max(limits), dtype=torch.bool, device=device)
    seen = torch.cat((text_seen, audio_seen, generated), 1)
    mask = ar_mask(batch.text_lens, text_length, audio.shape[1])
    hidden = ar.ar_decoder(x, mask, cache=cache)
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
        hidden = ar.ar_decoder(x, step_mask, cache=cache).squeeze(1)

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
    how = (batch.prompt_lens, batch.languages, batch.parts(code_lens - batch.prompt_lens))
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


def _rank(synthesis: Synthesis) -> tuple[bool, bool, float]:
    return len(synthesis.codes) > 0, synthesis.ended, synthesis.log_probability


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
