"""VALL-E and VALL-E X: the AR and the NAR transformer (arXiv 2301.02111, 2303.03926).

Both read text followed by audio. The AR predicts the first codebook frame by frame; the NAR
predicts codebook j of all frames at once from the codebooks below it. The tensors carry the names
of the published checkpoints, and the two state dicts together are one such checkpoint.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from revoice.config_training import check_width
from revoice.devices import sent
from revoice.model.aligner import Aligner
from revoice.model.dropout import Dropout
from revoice.model.durations import Durations
from revoice.model.rows import Rows, larger, valid
from revoice.model.sounds import Sounds

BINS = 1024  # codes of one codebook
EOS = 1024  # first codebook only
BOS = 1025  # AR input only
# From queries, keys and values (P, 3, heads, head width) of packed rows, the layer, and what share
# of what is seen is dropped, to what each position attends to (P, heads, head width)
Attend = Callable[[Tensor, int, float], Tensor]
SPREAD = 1.5  # frames: standard deviation of where a symbol is said around where it is expected


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model; AR and NAR share them.

    `layout` "vallex" adds a language embedding to every text position, "valle" has none.
    `languages` are the rows of that embedding in order, `pad` is the text's padding id, and
    `dropout` acts in training only, as does `attention_dropout`, on what is attended to.
    `text_positions`: "symbols" counts a text's symbols, as the originals do; "frames" places each
    where it is about to be said, see `Reading`. `sounds`: a NAR that knows what the codes stand
    for, so many numbers each, and predicts all codebooks from the first at once. Raises ValueError
    where the values do not fit together.
    """

    layout: Literal["valle", "vallex"]
    width: int
    layers: int
    heads: int
    text_symbols: int
    quantizers: int = 8
    languages: tuple[str, ...] = ()
    pad: int = 0
    dropout: float = 0.0
    text_positions: Literal["symbols", "frames"] = "symbols"
    nar_layers: int | None = None  # where they are not as many as the AR's
    sounds: int | None = None
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))
        if self.layout not in ("valle", "vallex"):
            raise ValueError(f'layout: "{self.layout}" is neither "valle" nor "vallex"')
        if self.text_positions not in ("symbols", "frames"):
            raise ValueError(
                f'text_positions: "{self.text_positions}" is not "symbols" or "frames"'
            )
        check_width(self.width, self.heads)
        if (self.layout == "vallex") != bool(self.languages):
            raise ValueError(
                f'layout "{self.layout}" with languages {list(self.languages)}: '
                '"vallex" needs at least one language, "valle" has none'
            )
        if len(set(self.languages)) != len(self.languages):
            raise ValueError(f"languages {list(self.languages)} name one twice")
        if not 0 <= self.pad < self.text_symbols:
            raise ValueError(f"pad {self.pad} is not among the {self.text_symbols} text symbols")

    def without_dropout(self) -> "ModelConfig":
        """The same model, as it is written."""
        return replace(self, dropout=0.0, attention_dropout=0.0)

    @property
    def stages(self) -> list[int | None]:
        """What a NAR is asked for, one after the other: each quantizer, or all at once (None)."""
        return [None] if self.sounds else list(range(1, self.quantizers))


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal position vectors (Attention is all you need, section 3.5).

    `positions`: of any shape, fractions too. Returns float32 of shape (*positions.shape, width)
    with sines at even and cosines at odd indices.
    """
    angle = positions.float().unsqueeze(-1) * _frequencies(width, positions.device)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)


@cache
def _frequencies(width: int, device: torch.device) -> Tensor:
    index = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    return torch.exp(index * (-math.log(10000.0) / width))


@dataclass(frozen=True)
class Parts:
    """The parts of texts whose audio has a known length: a prompt and what follows, or joined cuts.

    `of`: (N, S) int64 the part of each symbol, in order; `frames`: (N, P) frames of each part.
    Where an alignment is known, every symbol is one.
    """

    of: Tensor
    frames: Tensor

    @classmethod
    def whole(cls, text: Tensor, frames: Tensor) -> "Parts":
        """One part each: texts (N, S) that take (N,) frames."""
        return cls(torch.zeros_like(text), frames.unsqueeze(1))

    @classmethod
    def of_sizes(cls, texts: Sequence[Sequence[tuple[int, float]]]) -> "Parts":
        """Of each part of each text its number of symbols and that of frames, in order."""
        counts = [torch.tensor([symbols for symbols, _ in sizes]) for sizes in texts]
        frames = [torch.tensor([float(frames) for _, frames in sizes]) for sizes in texts]
        of = [torch.arange(len(each)).repeat_interleave(each) for each in counts]
        return cls(pad_sequence(of, batch_first=True), pad_sequence(frames, batch_first=True))

    def to(self, device: torch.device | str) -> "Parts":
        """The same on another device."""
        return Parts(sent(self.of, device), sent(self.frames, device))

    def pin_memory(self) -> "Parts":
        """The same in memory that a GPU reads by itself."""
        return Parts(self.of.pin_memory(), self.frames.pin_memory())


def said_at(durations: Tensor, parts: Parts) -> Tensor:
    """Where in the audio each symbol is about to be said: (N, S) positions in frames.

    Every symbol takes its share of its part, as long as it is expected to last beside the others;
    its position is the middle of that. Text and audio then run side by side, so that attention
    finds the symbol that is being said near its own position, in place of having to learn how fast
    people speak.

    `durations`: (N, S) expected frames, 0 in padding.
    """
    sums = durations.new_zeros(parts.frames.shape).scatter_add(1, parts.of, durations)
    each = durations * (parts.frames / sums.clamp(min=1e-3)).gather(1, parts.of)
    return each.cumsum(1) - each / 2


@dataclass
class Reading:
    """A text as a model reads it: embedded symbols, and where in the audio each will be said.

    `symbols`: (N, S, width), `text_lens`: (N,), `at`: (N, S) positions in frames as of `said_at`;
    None: a model that does not place its text.
    """

    symbols: Tensor
    text_lens: Tensor
    at: Tensor | None

    def near(self, positions: Tensor) -> Tensor:
        """What is about to be said at (N, L) positions: (N, L, width), a mean of nearby symbols.

        The weights are those of a normal distribution around the middle of each frame. Added to
        the audio, it tells every frame its text before any attention does, which then has to
        learn by how much the places are off; zero where the text is not placed.
        """
        if self.at is None:
            return self.symbols.new_zeros(())
        away = (positions.unsqueeze(-1) + 0.5 - self.at.unsqueeze(-2)) / SPREAD
        padding = ~valid(self.text_lens, self.at.shape[1]).unsqueeze(-2)
        lowest = torch.finfo(away.dtype).min  # not infinity: a text may be empty
        weights = (-away.square() / 2).masked_fill(padding, lowest).softmax(-1)
        return weights.masked_fill(padding, 0.0).to(self.symbols.dtype) @ self.symbols

    def moved(self, rows: Tensor, count: int, symbols: int) -> "Reading":
        """The texts of these rows as the first of `count`, with room for so many symbols."""
        at = None if self.at is None else larger(self.at[rows], count, symbols)
        text_lens = larger(self.text_lens[rows], count)
        return Reading(larger(self.symbols[rows], count, symbols), text_lens, at)


class TokenEmbedding(nn.Module):
    """An embedding table under the original's name."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(rows, width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.word_embeddings(ids)


class Positions(nn.Module):
    """Adds alpha times the sinusoid of each position; of any length, computed as needed."""

    def __init__(self, dropout: float, trainable: bool) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1), requires_grad=trainable)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """x: (N, L, width); positions: (N, L) of its elements, default 0 to L - 1."""
        if positions is None:
            positions = torch.arange(x.shape[1], device=x.device)
        return self.dropout(x + self.alpha * sinusoids(positions, x.shape[2]).to(x.dtype))


class Attention(nn.Module):
    """What multi-head self-attention learns; `in_proj` holds query, key and value stacked."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(P, width) to queries, keys and values (P, 3, heads, head width)."""
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return projected.unflatten(-1, (3, self.heads, -1))


class AdaptiveNorm(nn.Module):
    """Layer norm whose scale and shift are projected from the NAR's stage embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_layer = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, stage: Tensor) -> Tensor:
        scale, shift = self.project_layer(stage).chunk(2, dim=-1)
        return scale * self.norm(x) + shift


class Layer(nn.Module):
    """Pre-norm transformer layer with a ReLU feed-forward of four times the width.

    `before` and `after` its attention are functions of tensors alone, which can be compiled.
    """

    def __init__(self, config: ModelConfig, index: int, adaptive: bool) -> None:
        super().__init__()
        self.index = index
        norm = AdaptiveNorm if adaptive else nn.LayerNorm
        self.self_attn = Attention(config.width, config.heads, config.attention_dropout)
        self.linear1 = nn.Linear(config.width, 4 * config.width)
        self.linear2 = nn.Linear(4 * config.width, config.width)
        self.norm1 = norm(config.width)
        self.norm2 = norm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, attend: Attend, stage: tuple[Tensor, ...]) -> Tensor:
        attention = self.self_attn
        dropout = attention.dropout if attention.training else 0.0
        y = attend(self.before(x, stage), self.index, dropout)
        return self.after(x, y, stage)

    def before(self, x: Tensor, stage: tuple[Tensor, ...]) -> Tensor:
        """What is to be attended with, of (P, width)."""
        return self.self_attn(self.norm1(x, *stage))

    def after(self, x: Tensor, y: Tensor, stage: tuple[Tensor, ...]) -> Tensor:
        """(P, width) again, with what it has attended to: y (P, heads, head width)."""
        x = x + self.dropout(self.self_attn.out_proj(y.flatten(-2)))
        hidden = self.dropout(F.relu(self.linear1(self.norm2(x, *stage))))
        return x + self.dropout(self.linear2(hidden))


class Decoder(nn.Module):
    """The stack of layers and its final norm."""

    def __init__(self, config: ModelConfig, adaptive: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, i, adaptive) for i in range(config.layers))
        self.norm = AdaptiveNorm(config.width) if adaptive else nn.LayerNorm(config.width)

    def forward(
        self,
        x: Tensor,
        attend: Attend,
        stage: Tensor | None = None,
        gradient_checkpointing: bool = False,
    ) -> Tensor:
        """x: (P, width) of the rows that `attend` knows; `stage`: (width,) for adaptive norms."""
        condition = () if stage is None else (stage,)
        for layer in self.layers:
            if gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, attend, condition, use_reentrant=False)
            else:
                x = layer(x, attend, condition)
        return self.norm(x, *condition)


class AR(nn.Module):
    """Predicts the first codebook: text and past frames to the next frame's code or EOS."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.ar_text_embedding = TokenEmbedding(config.text_symbols, config.width)
        if config.languages:
            self.ar_language_embedding = TokenEmbedding(len(config.languages), config.width)
        self.ar_audio_embedding = TokenEmbedding(BINS + 2, config.width)
        self.ar_text_position = Positions(config.dropout, trainable=True)
        self.ar_audio_position = Positions(config.dropout, trainable=True)
        self.ar_decoder = Decoder(config, adaptive=False)
        self.ar_predict_layer = nn.Linear(config.width, BINS + 1, bias=False)
        if config.text_positions == "frames":
            self.ar_durations = Durations(config.text_symbols)
        _initialize(self, config)

    def read(
        self, text: Tensor, text_lens: Tensor, languages: Tensor | None, parts: Parts
    ) -> Reading:
        """(N, S) ids as they are read; what padding holds does not matter.

        `parts` have the frames of audio that say the text, as far as that is known.
        """
        return _read(self, "ar", text, text_lens, languages, parts)

    def embed_text(self, reading: Reading) -> Tensor:
        """The text as it goes into the decoder: (N, S, width)."""
        return self.ar_text_position(reading.symbols, reading.at)

    def embed_audio(self, codes: Tensor, reading: Reading, start: Tensor | None = None) -> Tensor:
        """(N, L) codes of the first codebook, BOS included, to (N, L, width).

        `start`: (N,) position of the first of them, counted from BOS; default 0.
        """
        positions = torch.arange(codes.shape[1], device=codes.device).expand(codes.shape)
        if start is not None:
            positions = start.unsqueeze(1) + positions
        x = self.ar_audio_embedding(codes) + reading.near(positions)
        return self.ar_audio_position(x, positions)

    def forward(
        self,
        text: Tensor,
        text_lens: Tensor,
        codes: Tensor,
        code_lens: Tensor,
        languages: Tensor | None = None,
        parts: Parts | None = None,
    ) -> Tensor:
        """Logits of the first codebook under teacher forcing (arXiv 2301.02111, equation 1).

        Nothing waits for a GPU if lengths and parts are on the CPU.

        Args:
            text: (N, S) int64, padded with anything; `text_lens`: (N,).
            codes: (N, T, quantizers) integers, padded with anything; `code_lens`: (N,).
            languages: (N, S) int64 rows of `config.languages`; needed by layout "vallex", ignored
                by "valle".
            parts: for text positions in frames; None: each text is one part.

        Returns:
            (N, T + 1, 1025): position t predicts frame t; position `code_lens` predicts EOS.
        """
        rows = Rows(text_lens, code_lens + 1, causal=True, where=codes.device)
        text_lens, code_lens = (sent(lens, codes.device) for lens in (text_lens, code_lens))
        audio = codes[:, :, 0].masked_fill(~valid(code_lens, codes.shape[1]), 0).long()
        audio = F.pad(audio, (1, 0), value=BOS)
        reading = self.read(text, text_lens, languages, parts or Parts.whole(text, code_lens))
        x = rows.pack(self.embed_text(reading), self.embed_audio(audio, reading))
        checkpointing = self.gradient_checkpointing and self.training
        x = self.ar_decoder(x, rows.attend, gradient_checkpointing=checkpointing)
        return self.ar_predict_layer(rows.audio(x, text.shape[1], audio.shape[1]))


class NAR(nn.Module):
    """Predicts codebook j from text, the codebooks below j and the frames of a prompt.

    With `config.sounds`, all codebooks from the first alone: what it says is the mean of what may
    be said, and the mean does not come nearer by conditioning on means of the codebooks before.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        width, quantizers = config.width, config.quantizers
        stack = replace(config, layers=config.nar_layers or config.layers)
        self.nar_text_embedding = TokenEmbedding(config.text_symbols, width)
        if config.languages:
            self.nar_language_embedding = TokenEmbedding(len(config.languages), width)
        if config.sounds:
            self.nar_sounds = Sounds(quantizers, BINS, config.sounds, width)
        else:
            rows = [BINS + 1] + [BINS] * (quantizers - 1)
            self.nar_audio_embeddings = nn.ModuleList(TokenEmbedding(n, width) for n in rows)
            self.nar_predict_layers = nn.ModuleList(
                nn.Linear(width, BINS, bias=False) for _ in range(quantizers - 1)
            )
        self.nar_text_position = Positions(config.dropout, trainable=False)
        self.nar_audio_position = Positions(config.dropout, trainable=False)
        self.nar_decoder = Decoder(stack, adaptive=True)
        self.nar_stage_embeddings = nn.ModuleList(TokenEmbedding(1, width) for _ in config.stages)
        if config.text_positions == "frames":
            self.nar_aligner = Aligner(config.text_symbols, BINS)
        self.tie()
        _initialize(self, stack)
        self.register_load_state_dict_pre_hook(_check_tied)

    def tie(self) -> None:
        """Make the tied output layers and embeddings one parameter each."""
        if self.config.sounds:
            return
        for i in range(self.config.quantizers - 2):
            embedding = self.nar_audio_embeddings[i + 2].get_parameter("word_embeddings.weight")
            self.nar_predict_layers[i].register_parameter("weight", embedding)

    def forward(
        self,
        text: Tensor,
        text_lens: Tensor,
        codes: Tensor,
        code_lens: Tensor,
        quantizer: int | None,
        prompt_frames: int | Tensor,
        languages: Tensor | None = None,
        parts: Parts | None = None,
    ) -> Tensor:
        """Logits of codebook `quantizer` for all frames (arXiv 2301.02111, equation 2).

        Args:
            text, text_lens, codes, code_lens, languages, parts: as in `AR.forward`. Of the frames
                after the prompt only the codebooks below `quantizer` are read.
            quantizer: the codebook to predict, 1 to quantizers - 1; None: all, with `sounds`.
            prompt_frames: how many leading frames show all their codebooks; one number or (N,),
                where `code_lens` are.

        Returns:
            (N, T, 1024), for all codebooks (N, T, quantizers - 1, 1024); frames of the prompt and
            of padding carry no meaning.
        """
        last = self.config.quantizers - 1
        if quantizer is None and not self.config.sounds:
            raise ValueError("this NAR predicts one codebook at a time: name its quantizer")
        if quantizer is not None and not 1 <= quantizer <= last:
            raise ValueError(f"quantizer {quantizer}: the NAR predicts 1 to {last}")
        length = codes.shape[1]
        if isinstance(prompt_frames, int):
            prompt_frames = torch.full_like(code_lens, prompt_frames)
        prompt_frames = torch.minimum(prompt_frames, code_lens)
        longest = int(prompt_frames.max())
        rows = Rows(text_lens, code_lens, causal=False, where=codes.device)
        text_lens, code_lens = (sent(lens, codes.device) for lens in (text_lens, code_lens))
        audio_valid = valid(code_lens, length)
        prompt = valid(sent(prompt_frames, codes.device), length)

        codes = codes.masked_fill(~audio_valid.unsqueeze(2), 0).long()
        audio = (
            self.nar_sounds.embed(codes, prompt)
            if self.config.sounds
            else self._embed(codes, prompt, longest, quantizer or last)
        )
        parts = parts or Parts.whole(text, code_lens)
        reading = _read(self, "nar", text, text_lens, languages, parts)
        audio = audio + reading.near(
            torch.arange(length, device=codes.device).expand(len(codes), -1)
        )
        symbols = self.nar_text_position(reading.symbols, reading.at)
        x = rows.pack(symbols, self.nar_audio_position(audio))
        stage = 0 if self.config.sounds or quantizer is None else quantizer - 1
        condition = self.nar_stage_embeddings[stage](text_lens.new_zeros(()))
        checkpointing = self.gradient_checkpointing and self.training
        x = self.nar_decoder(x, rows.attend, condition, gradient_checkpointing=checkpointing)
        x = rows.audio(x, text.shape[1], length)
        if self.config.sounds:
            return self.nar_sounds.logits(x, quantizer)
        return self.nar_predict_layers[stage](x)

    def _embed(self, codes: Tensor, prompt: Tensor, longest: int, quantizer: int) -> Tensor:
        """The codebooks below `quantizer` of (N, T, Q) codes, in the (N, T) prompt all of them.

        `longest`: frames of the longest prompt.
        """
        below = [self.nar_audio_embeddings[k](codes[:, :, k]) for k in range(quantizer)]
        audio = torch.stack(below).sum(0)
        if longest == 0:
            return audio
        seen = prompt[:, :longest]
        rest = torch.stack(
            [
                self.nar_audio_embeddings[k](codes[:, :longest, k].masked_fill(~seen, 0))
                for k in range(quantizer, self.config.quantizers)
            ]
        ).sum(0)
        rest = rest.masked_fill(~seen.unsqueeze(2), 0.0)
        return audio + F.pad(rest, (0, 0, 0, codes.shape[1] - longest))


def tied_tensors(quantizers: int) -> list[tuple[str, str]]:
    """Names of the tensors that are one: output layer, embedding of the codebook after it."""
    return [
        (f"nar_predict_layers.{i}.weight", f"nar_audio_embeddings.{i + 2}.word_embeddings.weight")
        for i in range(quantizers - 2)
    ]


def check_tied(state: dict[str, Tensor], quantizers: int) -> None:
    """Raise ValueError when tied tensors of a state dict disagree."""
    for output, embedding in tied_tensors(quantizers):
        if output in state and embedding in state:
            one, other = state[output], state[embedding]
            if one.data_ptr() != other.data_ptr() and not torch.equal(one, other):
                raise ValueError(
                    f"{output} and {embedding} are one tensor in this model, "
                    "but the checkpoint has different values for them"
                )


def _check_tied(module: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
    assert isinstance(module, NAR)
    check_tied(state, module.config.quantizers)


def _read(
    model: AR | NAR,
    part: str,
    text: Tensor,
    text_lens: Tensor,
    languages: Tensor | None,
    parts: Parts,
) -> Reading:
    padding = ~valid(text_lens, text.shape[1])
    symbols = model.get_submodule(f"{part}_text_embedding")(text.masked_fill(padding, 0))
    if (of_languages := getattr(model, f"{part}_language_embedding", None)) is not None:
        if languages is None:
            raise ValueError('layout "vallex" needs the language of every text symbol')
        symbols = symbols + of_languages(languages.masked_fill(padding, 0))
    if model.config.text_positions == "symbols":
        return Reading(symbols, text_lens, None)
    # A NAR's texts are aligned: where one is not, its symbols share their part alike.
    each = model.ar_durations(text, padding).detach() if isinstance(model, AR) else ~padding
    return Reading(symbols, text_lens, said_at(each.float(), parts.to(text.device)))


@torch.no_grad()
def _initialize(model: nn.Module, config: ModelConfig) -> None:
    """Initial values for training from scratch.

    Embeddings have a standard deviation of width^-1/2, so that tied output layers begin with logits
    of unit variance, and alpha is as small, so that positions do not drown the symbols. Layers
    that write to the residual stream are scaled down by its depth, as in GPT-2. Adaptive norms
    begin near the identity. Durations begin as PyTorch's layers do.
    """
    scale = config.width**-0.5
    for name, parameter in model.named_parameters():
        if "durations" in name:
            continue
        if name.endswith("alpha"):
            nn.init.constant_(parameter, scale)
        elif "stage_embeddings" in name:
            nn.init.normal_(parameter)
        elif name.endswith("nar_sounds.read.weight"):
            nn.init.normal_(parameter, std=scale * parameter.shape[1] ** -0.5)
        elif name.endswith(("nar_sounds.whole", "log_precision", "frequency")):
            nn.init.zeros_(parameter)
        elif name.endswith("project_layer.weight"):
            nn.init.normal_(parameter, std=0.1 * scale)
        elif name.endswith("project_layer.bias"):
            nn.init.zeros_(parameter)
            nn.init.ones_(parameter[: config.width])
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" in name:
            nn.init.ones_(parameter)
        elif name.endswith(("out_proj.weight", "linear2.weight")):
            nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))
        elif "decoder" in name or "ar_predict_layer." in name or "sounds.say" in name:
            nn.init.normal_(parameter, std=0.02)
        else:
            nn.init.normal_(parameter, std=scale)
