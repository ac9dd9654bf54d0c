"""The voices of a model: a few prompts of those whom it was trained on, beside its files."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
from lhotse.cut import Cut

from revoice.files import read_json, write_json
from revoice.model.aligner import Aligner
from revoice.model.prompts import Origin, Prompt, read_preset, write_preset

SPEAKERS = 8  # those of whom there is the most
EACH = 3  # prompts of each
HEARD = 24  # recordings of each that are listened to
LONGEST = 2.0  # times the seconds that are asked for


@dataclass(frozen=True)
class Voice:
    """A prompt that lies with a model: whose it is, what is said in it, and how good it sounds.

    `seconds`: how long it is. `dnsmos`: the opinion that DNSMOS predicts, 1 to 5; None: not asked.
    """

    name: str
    speaker: str
    text: str
    language: str
    seconds: float
    dnsmos: float | None


@dataclass(frozen=True)
class Voices:
    """What lies in a model's voices.json.

    `languages`: those of its training, most of it first. `synthesis`: how it is spoken with, keys
    of the configuration's `synthesis`. `prompts`: of each voice, the first is the default.
    """

    languages: list[str]
    synthesis: dict[str, Any]
    voices: list[Voice]
    prompts: Mapping[str, Prompt]


def choose_voices(
    cuts: Iterable[Cut], seconds: float, seed: int, listen: Callable[[Cut], float | None]
) -> list[tuple[Voice, Cut]]:
    """Three prompts of each of at most eight speakers, those of whom there is the most.

    Of recordings from `seconds` to twice that those win that sound best, of at most 24, which the
    seed draws; where no recording is so long, the longest stand for all. `listen` says how good
    one sounds, or None. The first is called as its speaker, the others with a number more.
    """
    of_speaker: dict[str, list[Cut]] = {}
    for cut in cuts:
        of_speaker.setdefault(cut.supervisions[0].speaker, []).append(cut)
    most = sorted(of_speaker, key=lambda s: (-sum(c.duration for c in of_speaker[s]), s))
    chosen, names = [], set[str]()
    for speaker in most[:SPEAKERS]:
        candidates = sorted(of_speaker[speaker], key=lambda cut: (-cut.duration, cut.id))
        fit = [cut for cut in candidates if seconds <= cut.duration <= LONGEST * seconds]
        if len(fit) > HEARD:
            fit = random.Random(f"{seed}:{speaker}").sample(fit, HEARD)
        heard = [(listen(cut), cut) for cut in fit or candidates[:EACH]]
        heard.sort(key=lambda pair: (-(pair[0] or 0.0), -pair[1].duration, pair[1].id))
        stem = re.sub(r"[^A-Za-z0-9_.+-]", "_", speaker).lstrip(".-") or "voice"
        for number, (good, cut) in enumerate(heard[:EACH], 1):
            name = stem if number == 1 else f"{stem}-{number}"
            while name in names:
                name += "_"
            names.add(name)
            said = cut.supervisions[0]
            about = (said.text, said.language, round(cut.duration, 3), good)
            chosen.append((Voice(name, speaker, *about), cut))
    return chosen


def write_voices(
    folder: Path,
    chosen: Sequence[tuple[Voice, Cut]],
    languages: Sequence[str],
    synthesis: Mapping[str, Any],
    origin: Origin,
    aligner: Aligner | None,
) -> None:
    """Write voices.json, and of each voice a preset, and what is heard and said in it.

    `folder` is the model's `voices`: `{name}.npz`, `{name}.wav` (16-bit) and `{name}.txt`.
    `aligner`: of a model that places its text, which then need not align the prompts again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for voice, cut in chosen:
        said, codes, stem = cut.supervisions[0], cut.load_codes(), folder / voice.name
        lasting = aligner.frames(said.tokens, codes[:, 0]).tolist() if aligner else None
        prompt = Prompt(said.tokens, said.token_languages, codes, lasting)
        write_preset(f"{stem}.npz", prompt, origin)
        soundfile.write(f"{stem}.wav", cut.load_audio()[0], cut.sampling_rate, subtype="PCM_16")
        Path(f"{stem}.txt").write_text(f"{said.text}\n", "utf-8")
    told = {"languages": list(languages), "synthesis": dict(synthesis)}
    write_json(folder / "voices.json", told | {"voices": [asdict(voice) for voice, _ in chosen]})


def read_voices(folder: Path, origin: Origin) -> Voices | None:
    """The voices that `write_voices` wrote; None where there are none.

    Raises ValueError, naming the file, where it is damaged or of another model.
    """
    path = folder / "voices.json"
    if not path.exists():
        return None
    try:
        told = read_json(path)
        voices = [Voice(**voice) for voice in told["voices"]]
        languages, synthesis = list(told["languages"]), dict(told["synthesis"])
        if bad := [v.name for v in voices if re.search(r"^\.|[/\\]", v.name)]:
            raise ValueError(f"{bad[0]!r} is no name of a file")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe voices: {error}") from None
    prompts = {voice.name: read_preset(folder / f"{voice.name}.npz", origin) for voice in voices}
    return Voices(languages, synthesis, voices, prompts)
