"""How long each symbol of a text lasts: a small network of the symbols around it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revoice.devices import sent
from revoice.model.rows import places

WIDTH = 64
AROUND = 2  # symbols that a layer sees on each side
LAYERS = 3
FRAMES = 4.0  # what a network that has learnt nothing says, times ln 2


class Durations(nn.Module):
    """Frames that a text's symbols take on average, each as it stands among its neighbours.

    Three residual convolutions over five symbols. It learns from alignments beside the model that
    it belongs to, which reads what it says and sends no gradient back.
    """

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols, WIDTH)
        self.layers = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, 2 * AROUND + 1, padding=AROUND) for _ in range(LAYERS)
        )
        self.frames = nn.Linear(WIDTH, 1)

    def forward(self, text: Tensor, padding: Tensor) -> Tensor:
        """(N, S) ids, True where there is padding, to (N, S) float32 frames; none in padding."""
        hidden = padding.unsqueeze(1)  # from convolutions: a text does not depend on its batch
        x = self.symbols(text.masked_fill(padding, 0)).transpose(1, 2).masked_fill(hidden, 0.0)
        for layer in self.layers:
            x = x + F.relu(layer(x)).masked_fill(hidden, 0.0)
        frames = FRAMES * F.softplus(self.frames(x.transpose(1, 2)).squeeze(2).float())
        return frames.masked_fill(padding, 0.0)


def unexplained(said: Tensor, padding: Tensor, of: Tensor, frames: Tensor) -> Tensor:
    """The share of durations, squared, that is off: what `Durations` learns to make small.

    Args:
        said: (N, S) frames, as it says them; `padding`: (N, S).
        of, frames: (N, S) and (N, P) as of `Parts`; parts of several symbols teach nothing. On the
            CPU, as `padding`, nothing waits for a GPU.
    """
    symbols = torch.zeros_like(frames).scatter_add(1, of, (~padding).to(frames))
    alone = (symbols.gather(1, of) == 1) & ~padding
    lasting = sent(frames.gather(1, of)[alone], said.device)
    said = said.flatten().index_select(0, places(alone, said.device))
    return (said - lasting).square().sum() / lasting.square().sum().clamp(min=1.0)
