"""Vocos as a decoder of EnCodec's codes (Siuzdak, 2023): a spectrum for each frame, and its ISTFT.

It was trained to make speech of the same codes, by its paper with fewer artefacts than EnCodec's
own decoder leaves.
"""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from revoice.codec.encodec import BANDWIDTH, EncodecCodec
from revoice.codec.files import Codec
from revoice.codec.search import ResidualCodec
from revoice.codec.standin import torchaudio_or_nothing
from revoice.codec.vocos_files import BANDWIDTHS, CONFIG, WEIGHTS, Decoder, read_config
from revoice.files import sha256

with torchaudio_or_nothing():
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

log = logging.getLogger(__name__)

WINDOW = 750  # frames that are decoded at once: 10 s
KERNEL = 7  # frames that each convolution of the backbone sees
OVERLAP = 2  # frames to each side whose ISTFT reaches into a frame: 1280 samples, centred on 320
BOOKS, WIDTH = 16, 128  # codebooks, for 12 kbps, and the length of their entries
CODEBOOKS = "feature_extractor.codebook_weights"


class VocosDecoder(ResidualCodec):
    """The half of a codec that makes samples of codes: EnCodec's, at 6 kbps. It does not encode.

    Args:
        config: as `read_config` returns it.
        state: the published model's state dict.
        device: where it computes; codes and samples are numpy arrays all the same.

    Raises ValueError where the weights are not of such a model.
    """

    def __init__(
        self, config: Mapping[str, Any], state: Mapping[str, Tensor], device: str = "cpu"
    ) -> None:
        self._model, tensors = _model(config), _tensors(state)
        shapes = {k: v.shape for k, v in self._model.state_dict().items()}
        shapes[CODEBOOKS] = torch.Size([BOOKS * self.bins, WIDTH])
        found = {k: v.shape for k, v in tensors.items()}
        if wrong := [k for k in shapes | found if shapes.get(k) != found.get(k)]:
            told = f"{wrong[0]}, {len(wrong)} in all"
            raise ValueError(f"tensors are missing, too many or of another shape: {told}")
        if infinite := [k for k, v in tensors.items() if not v.isfinite().all()]:
            raise ValueError(f"{infinite[0]} has values that are not finite")
        self._codebooks = tensors.pop(CODEBOOKS).to(device)
        self._model.load_state_dict(tensors, assign=True)
        self._model.eval().requires_grad_(False).to(device)
        self.device = torch.device(device).type
        convolutions = 1 + config["backbone"]["init_args"]["num_layers"]
        self._context = convolutions * (KERNEL // 2) + OVERLAP

    def entries(self, quantizer: int) -> NDArray[np.float32]:
        rows = self._codebooks[quantizer * self.bins : (quantizer + 1) * self.bins]
        return rows.cpu().numpy()

    @torch.inference_mode()
    def _decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """In windows, each with all that its frames depend on, for memory that does not grow."""
        samples = np.empty(len(codes) * self.hop, np.float32)
        for at in range(0, len(codes), WINDOW):
            begin = max(0, at - self._context)
            seen = self._speak(codes[begin : at + WINDOW + self._context])
            window = samples[at * self.hop : (at + WINDOW) * self.hop]
            window[:] = seen[(at - begin) * self.hop :][: len(window)]
        return samples

    @torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    def _speak(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Samples (T * hop,) of codes (T, 8), all at once."""
        rows = torch.from_numpy(codes.astype(np.int64) + self.bins * np.arange(self.num_quantizers))
        features = F.embedding(rows.to(self.device), self._codebooks).sum(1)
        bandwidth = torch.tensor([BANDWIDTHS.index(BANDWIDTH)], device=self.device)
        hidden = self._model["backbone"](features.T[None], bandwidth_id=bandwidth)
        return self._model["head"](hidden)[0].clamp(-1, 1).cpu().numpy()

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "VocosDecoder":
        """Read the published config.yaml and pytorch_model.bin.

        Raises ValueError, which names the file, where one is damaged or of another model.
        """
        path, config = Path(folder, WEIGHTS), read_config(Path(folder, CONFIG))
        try:
            mapped = zipfile.is_zipfile(path)
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # of a damaged file, torch raises whatever its readers meet
            told = str(error).partition("\n")[0]
            raise ValueError(f"{path} is nothing that torch.load can read: {told}") from None
        try:
            return cls(config, state, device)
        except ValueError as error:
            raise ValueError(f"{path} does not fit {CONFIG} beside it: {error}") from None


def load_decoder(codec: Codec, choice: Decoder | None) -> Codec | VocosDecoder:
    """What makes samples of a codec's codes: the codec itself, or Vocos where that was chosen.

    Raises ValueError where the weights are others than those chosen, or know other codes.
    """
    if choice is None:
        return codec
    if choice["folder"] is None or not isinstance(codec, EncodecCodec):
        log.warning("%s: it decodes them itself", choice["reason"])
        return codec
    weights = Path(choice["folder"], WEIGHTS)
    if not weights.is_file() or sha256(weights) != choice["sha256"]:
        raise ValueError(
            f"{weights} is not the file with the SHA-256 {choice['sha256']} for which decoder.json "
            "was written. Remove both, and run the workflow again."
        )
    decoder = VocosDecoder.load(choice["folder"], codec.device)
    if not all(
        np.allclose(codec.entries(k), decoder.entries(k), atol=1e-3)
        for k in range(codec.num_quantizers)
    ):
        raise ValueError(f"{weights} is for other codebooks than those of this codec")
    return decoder


def _model(config: Mapping[str, Any]) -> nn.ModuleDict:
    """Backbone and head of these sizes; what others draw by chance is not touched."""
    backbone, head = (config[part]["init_args"] for part in ("backbone", "head"))
    try:
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            return nn.ModuleDict({"backbone": VocosBackbone(**backbone), "head": ISTFTHead(**head)})
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"no model has the sizes of {CONFIG}: {error}") from None


def _tensors(state: Any) -> dict[str, Tensor]:
    """The tensors of a published state dict, in float32."""
    try:
        return {str(name): tensor.detach().float() for name, tensor in state.items()}
    except (AttributeError, RuntimeError) as error:
        raise ValueError(f"it holds no tensors: {error}") from None
