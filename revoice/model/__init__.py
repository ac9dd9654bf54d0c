"""The AR and the NAR: architecture, losses, files, what fine-tuning changes, generation."""

from typing import Literal

from revoice.model.valle import AR, NAR

Part = Literal["ar", "nar"]
PARTS: dict[Part, type[AR] | type[NAR]] = {"ar": AR, "nar": NAR}
