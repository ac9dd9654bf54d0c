"""EnCodec at 24 kHz and 6 kbps (Défossez et al., 2022), made for many recordings at a time."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import remove_weight_norm
from torch.nn.utils.rnn import pad_sequence

from revoice.codec.search import ResidualCodec, Search, check_samples
from revoice.codec.standin import torchaudio_or_nothing
from revoice.files import atomic

with torchaudio_or_nothing():
    from encodec import EncodecModel
    from encodec.modules import SConv1d

HOP = ResidualCodec.hop
BANDWIDTH = 6.0  # kbps: 8 codebooks
SEGMENT = 150  # frames that the convolutions see at once
CONTEXT = 3  # frames before them: more than the receptive field of the strided convolutions (797)
SHORT = 7  # frames; the last convolution's padding mirrors 6, shorter recordings go alone
ROWS = {"cpu": 1, "cuda": 128}  # segments in one pass of the convolutions
REMEMBERED = {"cpu": 8, "cuda": 128}  # recordings in one pass of the LSTM
STEPS = 25  # frames of them at once
WINDOW = 30 * SEGMENT  # frames of a recording that are in memory: a minute
MIRRORED = SHORT - 1  # frames that the last convolution sees before each


State: TypeAlias = tuple[Tensor, Tensor]


class Samples(Protocol):
    """A recording (N,), which gives float32 samples by slices: an array, or what reads a file."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


class EncodecCodec(ResidualCodec):
    """encodec_24khz at 6 kbps, weight norm folded into the weights.

    Args:
        state: the published model's state dict.
        device: where it computes; samples and codes are numpy arrays all the same.
    """

    def __init__(self, state: dict[str, Tensor], device: str = "cpu") -> None:
        with warnings.catch_warnings():  # encodec uses torch's older weight norm
            warnings.simplefilter("ignore", FutureWarning)
            model = EncodecModel.encodec_model_24khz(pretrained=False)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"these are not the weights of encodec_24khz: {error}") from None
        for module in model.modules():
            if hasattr(module, "weight_g"):
                remove_weight_norm(module)
        model.set_target_bandwidth(BANDWIDTH)
        self._model = model.eval().requires_grad_(False).to(device)
        self._device = torch.device(device)
        self.device = self._device.type
        layers = self._model.quantizer.vq.layers[: self.num_quantizers]
        self._codebooks = [layer.codebook.cpu().numpy() for layer in layers]
        self._searches = [Search(codebook) for codebook in self._codebooks]

    def entries(self, quantizer: int) -> NDArray[np.float32]:
        return self._codebooks[quantizer]

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        return encode_batch(self, [samples])[0]

    @torch.inference_mode()
    def _decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        batch = torch.from_numpy(codes.astype(np.int64)).T[None].to(self._device)
        return self._model.decode([(batch, None)])[0, 0].clamp(-1, 1).float().cpu().numpy()

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "EncodecCodec":
        """Read a .safetensors file that `convert` wrote."""
        return cls(load_file(path), device)


def convert(published: str | Path, path: str | Path) -> None:
    """The published .th file as .safetensors, after a look whether the weights fit.

    Raises ValueError where they are not those of encodec_24khz.
    """
    state = torch.load(published, map_location="cpu", weights_only=True)
    EncodecCodec(state)
    contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
    with atomic(path) as temporary:
        save_file(contiguous, temporary, {"codec": "encodec_24khz"})


@torch.inference_mode()
# On a GPU as on a CPU: TF32 would change codes.
@torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
def encode_batch(codec: EncodecCodec, recordings: Sequence[Samples]) -> list[NDArray[np.int16]]:
    """Codes of several recordings; on a CPU the same as one by one.

    The strided convolutions are causal and see less than three frames back: recordings go through
    them in segments of two seconds, which makes batches without padding. The LSTM, which remembers
    everything, then reads recordings side by side; ones of similar length waste least. A minute of
    each is in memory at a time, with what the LSTM remembers of those before.

    Each is (N,) float32 mono samples at 24 kHz, its codes (ceil(N / 320), 8) int16.
    """
    frames = [-(-len(samples) // HOP) for samples in recordings]
    codes = [np.zeros((0, codec.num_quantizers), np.int16) for _ in recordings]
    encoder, device = codec._model.encoder.model, codec._device
    with _one_thread(device):
        for i, count in enumerate(frames):
            if count < SHORT:
                samples = _checked(recordings[i][: count * HOP])
                if count:
                    codes[i] = _quantise(codec, encoder(samples.to(device)[None, None]))
        long = [i for i, count in enumerate(frames) if count >= SHORT]
        rows = REMEMBERED[device.type]
        for group in (long[at : at + rows] for at in range(0, len(long), rows)):
            found = _in_windows(codec, [recordings[i] for i in group])
            for i, of_recording in zip(group, found, strict=True):
                codes[i] = of_recording
    return codes


def _in_windows(codec: EncodecCodec, recordings: Sequence[Samples]) -> list[NDArray[np.int16]]:
    """Codes of recordings of `SHORT` frames and more, at most as many as the LSTM reads at once."""
    encoder, device = codec._model.encoder.model, codec._device
    strided, lstm, last = encoder[:-3], encoder[-3].lstm, encoder[-2:]
    codes: list[list[NDArray[np.int16]]] = [[] for _ in recordings]
    ends = [torch.zeros(0, 512, device=device) for _ in recordings]  # of the window before
    state = None
    for at in range(0, max(-(-len(samples) // HOP) for samples in recordings), WINDOW):
        seen = _convolved(strided, recordings, at, device)
        remembered, state = _remembered(lstm, seen, REMEMBERED[device.type], state)
        for i, (now, before) in enumerate(zip(seen, remembered, strict=True)):
            if len(now):
                whole = torch.cat((ends[i], now + before))
                codes[i].append(_quantise(codec, last(whole.T[None])[..., len(ends[i]) :]))
                ends[i] = whole[-MIRRORED:]
    return [np.concatenate(parts) for parts in codes]


def _convolved(
    strided: torch.nn.Sequential, recordings: Sequence[Samples], first: int, device: torch.device
) -> list[Tensor]:
    """Samples (N,) of each recording to (frames, 512), of the window from the frame `first` on."""
    frames = [max(0, min(-(-len(x) // HOP) - first, WINDOW)) for x in recordings]
    rows: list[tuple[int, int, int]] = []  # recording, first frame with context, first without
    pieces: list[Tensor] = []
    for i, count in enumerate(frames):
        if not count:
            continue
        begin = max(0, first - CONTEXT)
        window = _checked(recordings[i][begin * HOP : (first + count) * HOP])
        for at in range(0, count, SEGMENT):
            start = max(0, first + at - CONTEXT)
            rows.append((i, start, first + at))
            pieces.append(window[(start - begin) * HOP : (first + at + SEGMENT - begin) * HOP])
    features: dict[tuple[int, int], Tensor] = {}
    order = sorted(range(len(rows)), key=lambda row: len(pieces[row]))
    size = ROWS[device.type]
    for group in (order[at : at + size] for at in range(0, len(order), size)):
        lengths = torch.tensor([len(pieces[row]) for row in group])
        batch = pad_sequence([pieces[row] for row in group], batch_first=True)[:, None]
        outputs = _convolve(strided, batch.to(device), lengths)
        for row, output in zip(group, outputs, strict=True):
            i, start, at = rows[row]
            features[i, at] = output[:, at - start : min(at + SEGMENT, first + frames[i]) - start]
    none = torch.zeros(512, 0, device=device)
    return [
        torch.cat([none, *(features[i, first + at] for at in range(0, count, SEGMENT))], dim=1).T
        for i, count in enumerate(frames)
    ]


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Within the block a CPU computes with one thread: how many there are would show in codes."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _remembered(
    lstm: torch.nn.LSTM, sequences: Sequence[Tensor], rows: int, state: State | None
) -> tuple[list[Tensor], State | None]:
    """What an LSTM gives for sequences (T, 512) side by side, and its state after them.

    It always sees `rows` of them and `STEPS` steps, filled up with zeros: where every product has
    one shape, a row's result depends on that row alone.
    """
    length = -(-max(map(len, sequences)) // STEPS) * STEPS
    batch = sequences[0].new_zeros(length, rows, sequences[0].shape[1])
    for row, sequence in enumerate(sequences):
        batch[: len(sequence), row] = sequence
    pieces = []
    for at in range(0, length, STEPS):
        piece, state = lstm(batch[at : at + STEPS], state)
        pieces.append(piece)
    whole = torch.cat(pieces)
    return [whole[: len(sequence), row] for row, sequence in enumerate(sequences)], state


def _checked(samples: NDArray[np.float32]) -> Tensor:
    samples = np.ascontiguousarray(samples, np.float32)
    check_samples(samples)
    return torch.from_numpy(samples)


def _convolve(layers: torch.nn.Sequential, batch: Tensor, lengths: Tensor) -> Tensor:
    """The strided part of the encoder on right-padded rows (B, 1, N) to (B, 512, ceil(N / 320)).

    A strided layer completes its last window with a mirror image of the row's end. Rows that end
    before the longest one need theirs where the padding is, so it is written there for all.
    """
    for layer in layers:
        if isinstance(layer, SConv1d):
            stride = cast(torch.nn.Conv1d, layer.conv.conv).stride[0]
            batch = F.pad(batch, (0, -batch.shape[-1] % stride))
            for row, length in enumerate(lengths.tolist()):
                if missing := -length % stride:
                    mirrored = batch[row, :, length - 1 - missing : length - 1].flip(-1)
                    batch[row, :, length : length + missing] = mirrored
            lengths = -(-lengths // stride)
        batch = layer(batch)
    return batch


def _quantise(codec: EncodecCodec, embedded: Tensor) -> NDArray[np.int16]:
    """(1, 128, T) to (T, 8): each codebook takes the entry nearest to what is left over."""
    left = embedded[0].T.float().cpu().numpy()
    codes = np.empty((len(left), codec.num_quantizers), np.int16)
    for k, codebook in enumerate(codec._codebooks):
        codes[:, k] = codec._searches[k].nearest(left)
        left = left - codebook[codes[:, k]]
    return codes
