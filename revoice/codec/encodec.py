"""EnCodec at 24 kHz and 6 kbps (Défossez et al., 2022), made for many recordings at a time."""

import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import remove_weight_norm
from torch.nn.utils.rnn import pad_sequence

from revoice.codec.search import ResidualCodec, Search, check_samples
from revoice.files import atomic

# encodec imports torchaudio for helpers that read, write and resample files, none of which is
# used here. Where it is not installed an empty module stands in while encodec is imported.
try:
    import torchaudio  # noqa: F401
except ImportError:
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    try:
        from encodec import EncodecModel
        from encodec.modules import SConv1d
    finally:
        del sys.modules["torchaudio"]
else:
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
def encode_batch(
    codec: EncodecCodec, recordings: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.int16]]:
    """Codes of several recordings; on a CPU the same as one by one.

    The strided convolutions are causal and see less than three frames back: recordings go through
    them in segments of two seconds, which bounds memory and makes batches without padding. The
    LSTM, which remembers everything, then reads whole recordings side by side; ones of similar
    length waste least.

    Each is (N,) float32 mono samples at 24 kHz, its codes (ceil(N / 320), 8) int16.
    """
    checked = [_checked(samples) for samples in recordings]
    frames = [-(-len(samples) // HOP) for samples in checked]
    codes = [np.zeros((0, codec.num_quantizers), np.int16) for _ in checked]
    encoder, device = codec._model.encoder.model, codec._device
    strided, slstm, last = encoder[:-3], encoder[-3], encoder[-2:]
    with _one_thread(device):
        for i, count in enumerate(frames):
            if 0 < count < SHORT:
                codes[i] = _quantise(codec, encoder(checked[i].to(device)[None, None]))
        long = [i for i, count in enumerate(frames) if count >= SHORT]
        seen = _convolved(strided, [checked[i] for i in long], device)
        remembered = _remembered(slstm.lstm, seen, REMEMBERED[device.type])
        for i, now, before in zip(long, seen, remembered, strict=True):
            codes[i] = _quantise(codec, last((now + before).T[None]))
    return codes


def _convolved(
    strided: torch.nn.Sequential, recordings: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """Samples (N,) of each recording to (ceil(N / 320), 512)."""
    frames = [-(-len(samples) // HOP) for samples in recordings]
    rows: list[tuple[int, int, int]] = []  # recording, first frame with context, first without
    for i, count in enumerate(frames):
        rows += [(i, max(0, at - CONTEXT), at) for at in range(0, count, SEGMENT)]
    pieces = [recordings[i][start * HOP : (at + SEGMENT) * HOP] for i, start, at in rows]
    features: dict[tuple[int, int], Tensor] = {}
    order = sorted(range(len(rows)), key=lambda row: len(pieces[row]))
    size = ROWS[device.type]
    for group in (order[at : at + size] for at in range(0, len(order), size)):
        lengths = torch.tensor([len(pieces[row]) for row in group])
        batch = pad_sequence([pieces[row] for row in group], batch_first=True)[:, None]
        outputs = _convolve(strided, batch.to(device), lengths)
        for row, output in zip(group, outputs, strict=True):
            i, start, at = rows[row]
            features[i, at] = output[:, at - start : min(at + SEGMENT, frames[i]) - start]
    return [
        torch.cat([features[i, at] for at in range(0, count, SEGMENT)], dim=1).T
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


def _remembered(lstm: torch.nn.LSTM, sequences: Sequence[Tensor], rows: int) -> list[Tensor]:
    """What an LSTM gives for sequences (T, 512), several side by side.

    It always sees `rows` of them and `STEPS` steps, filled up with zeros: where every product has
    one shape, a row's result depends on that row alone.
    """
    results: list[Tensor] = []
    for first in range(0, len(sequences), rows):
        group = sequences[first : first + rows]
        length = -(-max(map(len, group)) // STEPS) * STEPS
        batch = group[0].new_zeros(length, rows, group[0].shape[1])
        for row, sequence in enumerate(group):
            batch[: len(sequence), row] = sequence
        state, pieces = None, []
        for at in range(0, length, STEPS):
            piece, state = lstm(batch[at : at + STEPS], state)
            pieces.append(piece)
        whole = torch.cat(pieces)
        results += [whole[: len(sequence), row] for row, sequence in enumerate(group)]
    return results


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
