"""A voice to give away: half the size, with prompts to speak from."""

import random
import re
from collections.abc import Iterable
from pathlib import Path

import soundfile
import torch
from lhotse.cut import Cut

from revoice.model import PARTS
from revoice.model.checkpoint import check_state, load_meta, read_state, save_model

PROMPTS = 3
LONGEST = 2.0  # times the seconds that are asked for


def write_half(stem: str | Path, target: str | Path) -> None:
    """Write a whole model, its AR and NAR, as float16 `{target}.safetensors` and its JSON.

    Raises ValueError where `{stem}.safetensors` is not whole, or has values beyond float16.
    """
    meta, state = load_meta(stem), read_state(stem, "")
    check_state(state, meta["model"], list(PARTS), f"{stem}.safetensors")
    half = {name: value.to(torch.float16) for name, value in state.items()}
    if large := [name for name, value in half.items() if not value.isfinite().all()]:
        raise ValueError(f"{stem}.safetensors: {', '.join(large)} exceed half precision")
    save_model(target, half, meta)


def choose_prompts(cuts: Iterable[Cut], seconds: float, seed: int) -> list[Cut]:
    """A prompt of each of at most three speakers, those of whom there is the most.

    Each is drawn from what lasts from `seconds` to twice that; where nothing does, it is the
    longest that there is.
    """
    of_speaker: dict[str, list[Cut]] = {}
    for cut in cuts:
        of_speaker.setdefault(cut.supervisions[0].speaker, []).append(cut)
    speakers = sorted(of_speaker, key=lambda s: (-sum(c.duration for c in of_speaker[s]), s))
    chosen = []
    for speaker in speakers[:PROMPTS]:
        candidates = sorted(of_speaker[speaker], key=lambda cut: (cut.duration, cut.id))
        fit = [cut for cut in candidates if seconds <= cut.duration <= LONGEST * seconds]
        chosen.append(random.Random(f"{seed}:{speaker}").choice(fit) if fit else candidates[-1])
    return chosen


def write_prompt(cut: Cut, folder: Path) -> None:
    """Write what a cut says as `{speaker}.wav`, 16-bit, and `{speaker}.txt`."""
    folder.mkdir(exist_ok=True)
    said = cut.supervisions[0]
    stem = folder / re.sub(r"[^A-Za-z0-9_.+-]", "_", said.speaker)
    soundfile.write(f"{stem}.wav", cut.load_audio()[0], cut.sampling_rate, subtype="PCM_16")
    Path(f"{stem}.txt").write_text(f"{said.text}\n", "utf-8")
