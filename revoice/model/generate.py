"""Text and a voice prompt to codes: the AR frame by frame, then the NAR codebook by codebook."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from revoice.model.aligner import Aligner
from revoice.model.drawing import Draw, Drawn, Sampling, draw
from revoice.model.prompts import Prompt
from revoice.model.rows import padded, valid
from revoice.model.sounds import Entries
from revoice.model.valle import AR, NAR, ModelConfig, Parts
from revoice.text import Tokenizer
from revoice.text.framing import frame, frame_lengths

FRAMES_PER_SYMBOL = 16  # an utterance that has not ended by then is cut off
PACE = 2.0  # nobody speaks more than so much slower or faster than the training's mean
LONGEST = 2.0  # times what is planned, and a few symbols: neither is it longer than that
FEW = 2
NAR_FRAMES = 1200  # that it completes at a time on a CPU: what they become leaves the cache else


@dataclass(frozen=True)
class Request:
    """One text to synthesize; `ids` and `languages` are one per symbol.

    `accent`: a language whose embedding the text gets in place of its own. `speed`: how much faster
    than the others it is said, where the model plans its pace. `seed`: of its random numbers; None:
    that of all, and its place among them.
    """

    ids: Sequence[int]
    languages: Sequence[str]
    prompt: Prompt = field(default_factory=Prompt)
    accent: str | None = None
    speed: float = 1.0
    seed: tuple[int, ...] | None = None


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

    At most `batch_size` draws are spoken at a time; every one has its own random numbers, from
    `seed` and the request's place in the list, so that batches do not change the result (but for
    rounding, where weights are less than float32). Of `best_of` draws the one wins that tells most
    of its text, where the NAR has an aligner, else the one with the highest `log_probability`; one
    that ended goes before one that did not, one with frames before one without. With the codebooks'
    `entries` the NAR says the sound that it expects, see `_all_codebooks`; without, its likeliest
    codes.
    Without `ar_prompts` the AR speaks in its own manner, and the NAR alone takes the voice on.

    Both models should be in evaluation mode. Raises ValueError for a request that does not fit
    them: no text, an unknown language, a symbol or a prompt of another size.
    """
    for index, request in enumerate(requests):
        check_request(request, ar.config, f"request {index}")
    requests = [with_seed(each, (seed, index)) for index, each in enumerate(requests)]
    requests = [with_aligned_prompt(request, nar) for request in requests]
    draws = [one for each in requests for one in draws_of(ar, each, sampling, ar_prompts)]
    drawn, of = draw(ar, draws, sampling, batch_size), sampling.best_of
    found = [
        best_of(nar, request, drawn[index * of : (index + 1) * of])
        for index, request in enumerate(requests)
    ]
    return complete(nar, requests, found, entries, batch_size)


def ask(
    prompt: Prompt, ids: Sequence[int], languages: Sequence[str], tokenizer: Tokenizer
) -> Request:
    """The request for a text after a prompt, with what the model reads between and around them."""
    separator, ends = tokenizer.separator, tokenizer.ends
    if not prompt.ids:
        ((framed, of_each),) = frame([(ids, languages)], (), ends)
        return Request(framed, of_each, prompt)
    texts = [(prompt.ids, prompt.languages), (ids, languages)]
    before, after = frame(texts, separator, ends, language="after")
    lasting = None
    if prompt.lasting is not None:
        lasting, _ = frame_lengths([prompt.lasting, [0] * len(ids)], separator, ends)
    return Request(*after, prompt=Prompt(*before, prompt.codes, lasting))


def with_seed(request: Request, seed: tuple[int, ...]) -> Request:
    """The request with this seed, unless it has one."""
    return request if request.seed is not None else replace(request, seed=seed)


def with_aligned_prompt(request: Request, nar: NAR) -> Request:
    """The request with its prompt aligned, where the model places its text and needs that."""
    prompt = request.prompt
    if nar.config.text_positions == "symbols" or prompt.lasting is not None:
        return request
    if not len(prompt.codes) or not prompt.ids:
        return request
    lasting = nar.nar_aligner.frames(prompt.ids, prompt.codes[:, 0]).tolist()
    return replace(request, prompt=replace(prompt, lasting=lasting))


@torch.inference_mode()
def draws_of(ar: AR, request: Request, sampling: Sampling, ar_prompts: bool = True) -> list[Draw]:
    """What the AR draws for a request that has a seed: `sampling.best_of` times the same."""
    asked = request if ar_prompts else replace(request, prompt=Prompt())
    planned = float(_Batch.of([asked], ar).expected(ar)) / (sampling.speed * request.speed)
    seeds = [(*(request.seed or ()), number) for number in range(sampling.best_of)]
    return [_draw_of(ar, asked, planned, sampling, seed) for seed in seeds]


def _draw_of(
    ar: AR, request: Request, planned: float, sampling: Sampling, seed: tuple[int, ...]
) -> Draw:
    """What the AR draws for a request whose text is `planned` to take so many frames."""
    prompt, limit = request.prompt, _limit(request, sampling)
    if ar.config.text_positions == "frames":
        limit = min(limit, math.ceil(LONGEST * planned) + FEW * FRAMES_PER_SYMBOL)
    ids = [*prompt.ids, *request.ids]
    languages = _languages(request, ar.config) if ar.config.languages else None
    sizes = [*prompt.parts, (len(request.ids), planned)]
    codes = np.asarray(prompt.codes, np.int64).reshape(-1, ar.config.quantizers)
    return Draw(ids, languages, codes[:, 0], sizes, limit, seed)


def best_of(nar: NAR, request: Request, drawn: Sequence[Drawn]) -> Synthesis:
    """The best of some draws, see `synthesize`; what the NAR says is 0 yet."""
    aligner = nar.nar_aligner if nar.config.text_positions == "frames" else None
    found = [_synthesis(one, nar.config) for one in drawn]
    return max(found, key=lambda one: _rank(one, request, aligner))


@torch.inference_mode()
def complete(
    nar: NAR,
    requests: Sequence[Request],
    found: Sequence[Synthesis],
    entries: Entries | None = None,
    batch_size: int = 16,
) -> list[Synthesis]:
    """What came of requests, with the codebooks after the first, see `synthesize`."""
    whole = list(found)
    order = sorted(
        (i for i in range(len(found)) if len(found[i].codes)), key=lambda i: len(found[i].codes)
    )
    taking = [len(requests[i].prompt.codes) + len(found[i].codes) for i in order]
    room = NAR_FRAMES if next(nar.parameters()).device.type == "cpu" else math.inf
    for chosen in _nar_batches(order, taking, batch_size, room):
        batch = _Batch.of([requests[i] for i in chosen], nar)
        firsts = [found[i].codes[:, 0] for i in chosen]
        for i, codes in zip(chosen, _all_codebooks(nar, batch, firsts, entries), strict=True):
            whole[i] = replace(found[i], codes=codes)
    return whole


def _nar_batches(
    order: Sequence[int], frames: Sequence[int], most: int, room: float
) -> list[list[int]]:
    """Of requests, which take so many frames, those that the NAR completes together.

    At most so many, and no more frames than there is room for.
    """
    batches: list[list[int]] = []
    taken = 0
    for index, length in zip(order, frames, strict=True):
        if not batches or len(batches[-1]) == most or taken + length > room:
            batches.append([])
            taken = 0
        batches[-1].append(index)
        taken += length
    return batches


def _synthesis(drawn: Drawn, config: ModelConfig) -> Synthesis:
    codes = np.zeros((len(drawn.codes), config.quantizers), np.int16)
    codes[:, 0] = drawn.codes
    return Synthesis(codes, drawn.ended, drawn.mean)


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
        text, text_lens = padded(ids, device)
        prompts, prompt_lens = padded([c.reshape(-1, config.quantizers) for c in codes], device)
        languages = None
        if config.languages:
            languages, _ = padded([_languages(request, config) for request in requests], device)
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

    def aligned(self, aligner: Aligner, firsts: Sequence[NDArray[np.int16]]) -> Parts:
        """Those of prompts, and texts that are said by codes (frames,) of the first codebook."""
        texts = zip(self.text.cpu().numpy(), self.text_lens, self.prompt_text_lens, strict=True)
        ids = [row[begun:end] for row, end, begun in texts]
        found = [aligner.frames(*pair).tolist() for pair in zip(ids, firsts, strict=True)]
        after = [[(1, frames) for frames in lasting] for lasting in found]
        sizes = [[*of, *text] for of, text in zip(self.prompt_parts, after, strict=True)]
        return Parts.of_sizes(sizes).to(self.text.device)


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


def check_request(request: Request, config: ModelConfig, name: str) -> None:
    """Raise ValueError, which begins with the name, where the request does not fit the model."""
    prompt = request.prompt
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
