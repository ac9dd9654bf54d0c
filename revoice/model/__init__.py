"""The AR and the NAR: architecture, losses, files, what fine-tuning changes, generation."""

from revoice.config import Part
from revoice.model.valle import AR, NAR

__all__ = ["PARTS", "Part"]

PARTS: dict[Part, type[AR] | type[NAR]] = {"ar": AR, "nar": NAR}
