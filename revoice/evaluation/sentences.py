"""What is spoken to judge a model, with which recording as the voice prompt, and its files."""

import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile
from lhotse.cut import Cut
from numpy.typing import NDArray

from revoice.codec.search import ResidualCodec
from revoice.corpus.naming import shortened
from revoice.model.generate import Request, Synthesis, ask
from revoice.model.prompts import Prompt
from revoice.text import Tokenizer
from revoice.text.cuts import judge

log = logging.getLogger(__name__)

LONGEST = 200  # bytes of a file's name, of 255, without what is added to it
SPOKEN = ["id", "text", "language", "speaker", "prompt_id", "recording", "prompt"]
SPOKEN += ["reconstruction", "synthesis", "seed", "ended", "frames"]


@dataclass(frozen=True)
class Utterance:
    """A text to speak, the recording of it if there is one, and the voice prompt."""

    id: str
    text: str
    language: str
    speaker: str
    prompt: Cut
    cut: Cut | None = None


def _tokens(cut: Cut) -> tuple[list[int], list[str]]:
    """Ids and languages of a tokenized cut, one per symbol."""
    return cut.supervisions[0].tokens, cut.supervisions[0].token_languages


def tokens_of(utterance: Utterance, tokenizer: Tokenizer) -> tuple[list[int], list[str]]:
    """Ids and languages of what is to be said, one per symbol.

    Raises ValueError for a further sentence that the tokenizer cannot convert.
    """
    if utterance.cut:
        return _tokens(utterance.cut)
    try:
        tokens = tokenizer(utterance.text, utterance.language)
    except ValueError as error:
        raise ValueError(f"synthesis.extra: {error}") from None
    reason, bad = judge(tokens, tokenizer.unknown)
    if bad:
        raise ValueError(f"synthesis.extra: {utterance.text!r}: {reason}")
    return tokens.ids, tokens.languages


def request_of(utterance: Utterance, tokenizer: Tokenizer) -> Request:
    """An utterance as the model is asked for it; ValueError as of `tokens_of`.

    Between the prompt's text and the utterance's stands what stands between words.
    """
    cut = utterance.prompt
    lasting = cut.supervisions[0].frames if cut.supervisions[0].has_custom("frames") else None
    prompt = Prompt(*_tokens(cut), cut.load_codes(), lasting)
    return ask(prompt, *tokens_of(utterance, tokenizer), tokenizer)


def choose_utterances(
    test: Sequence[Cut],
    train: Iterable[Cut],
    count: int | None,
    extra: Sequence[str],
    prompt_seconds: float,
    seed: int,
) -> list[Utterance]:
    """Utterances of the test split, then `extra` texts in the voice of the first (or of train's).

    The prompt is a recording of the same speaker: of train, or where train has none, another one
    of test. It is drawn from the eight whose length is nearest above `prompt_seconds`; where all
    are shorter, it is the longest. The draw depends on the seed and the utterance alone.

    `count` None: all of the test split. Raises ValueError where a speaker has no other recording.
    """
    chosen = sorted(test, key=lambda cut: cut.id)
    if count is not None and count < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, count), key=lambda cut: cut.id)
    of_speaker: dict[str, list[Cut]] = {cut.supervisions[0].speaker: [] for cut in chosen}
    for cut in train:
        if not chosen and not of_speaker:
            of_speaker[cut.supervisions[0].speaker] = []
        if cut.supervisions[0].speaker in of_speaker:
            of_speaker[cut.supervisions[0].speaker].append(cut)
    for speaker, candidates in of_speaker.items():
        if not candidates:
            candidates += [cut for cut in test if cut.supervisions[0].speaker == speaker]

    def prompt_for(name: str, speaker: str) -> Cut:
        others = [cut for cut in of_speaker[speaker] if cut.id != name]
        others.sort(key=lambda cut: (cut.duration, cut.id))
        if not others:
            raise ValueError(
                f"{name}: there is no other recording of {speaker} to be its prompt; "
                "add one, or hold out more than one recording of a speaker"
            )
        long = [cut for cut in others if cut.duration >= prompt_seconds]
        return random.Random(f"{seed}:{name}").choice(long[:8]) if long else others[-1]

    utterances = []
    for cut in chosen:
        said = cut.supervisions[0]
        prompt = prompt_for(cut.id, said.speaker)
        utterances.append(Utterance(cut.id, said.text, said.language, said.speaker, prompt, cut))
    voice = chosen[0].supervisions[0].speaker if chosen else next(iter(of_speaker))
    for number, text in enumerate(extra, 1):
        prompt = prompt_for(name := f"extra-{number}", voice)
        language = (chosen[0] if chosen else prompt).supervisions[0].language
        utterances.append(Utterance(name, text, language, voice, prompt))
    return utterances


def write_spoken(
    folder: str | Path,
    utterances: Sequence[Utterance],
    spoken: Mapping[int, Sequence[Synthesis]],
    decoder: ResidualCodec,
) -> pd.DataFrame:
    """Write `{id}.wav`, and `{id}-codec.wav` of an utterance with a recording, as 16-bit WAV.

    `decoder` makes sound of codes: their codec, or Vocos.
    `spoken` is seed to a synthesis per utterance; those after the first are `{id}-seed{seed}.wav`.
    Of a cut that is a part of a recording that part is written too, to be heard beside them.
    Returns a row per utterance and seed, as `revoice.evaluation.scoring.score_sentences` reads it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def decoded(codes: NDArray, name: str) -> str:
        path = folder / f"{name}.wav"
        soundfile.write(path, decoder.decode(codes), decoder.sample_rate, subtype="PCM_16")
        return path.as_posix()

    written = set[Path]()  # prompts serve many

    def recorded(cut: Cut, end: str) -> str:
        if cut.duration == cut.recording.duration:
            return str(cut.recording.sources[0].source)
        path = folder / f"{shortened(cut.id, LONGEST)}-{end}.wav"
        if path not in written:
            soundfile.write(path, cut.load_audio()[0], cut.sampling_rate, subtype="PCM_16")
        written.add(path)
        return path.as_posix()

    rows = []
    for utterance, *results in zip(utterances, *spoken.values(), strict=True):
        cut, prompt, stem = utterance.cut, utterance.prompt, shortened(utterance.id, LONGEST)
        known = {c: getattr(utterance, c) for c in ("id", "text", "language", "speaker")} | {
            "prompt_id": prompt.id,
            "recording": recorded(cut, "recording") if cut else None,
            "prompt": recorded(prompt, "prompt"),
            "reconstruction": decoded(cut.load_codes(), f"{stem}-codec") if cut else None,
        }
        for number, (seed, result) in enumerate(zip(spoken, results, strict=True)):
            frames, file = len(result.codes), f"{stem}-seed{seed}" if number else stem
            if not frames:
                log.warning("%s: EOS at the first step, nothing is spoken", file)
            elif not result.ended:
                log.warning("%s: no EOS within %d frames", file, frames)
            synthesis = decoded(result.codes, file) if frames else None
            told = {"seed": seed, "ended": result.ended, "frames": frames}
            rows.append(known | {"synthesis": synthesis} | told)
    return pd.DataFrame(rows, columns=SPOKEN)
