"""Which sentences are spoken to judge a model, and with which recording as the voice prompt."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lhotse.cut import Cut

from revoice.model.generate import Request
from revoice.model.prompts import Prompt
from revoice.text import Tokenizer
from revoice.text.cuts import judge
from revoice.text.framing import frame


@dataclass(frozen=True)
class Sentence:
    """A text to speak, the recording of it if there is one, and the prompt."""

    id: str
    text: str
    language: str
    speaker: str
    prompt: Cut
    cut: Cut | None = None


def prompt_of(cut: Cut) -> Prompt:
    """A tokenized cut with codes as the model's voice prompt."""
    supervision = cut.supervisions[0]
    return Prompt(supervision.tokens, supervision.token_languages, cut.load_codes())


def request_of(sentence: Sentence, tokenizer: Tokenizer) -> Request:
    """A sentence as the model is asked for it.

    Between the prompt's text and the sentence stands what stands between words.
    Raises ValueError for a further sentence that the tokenizer cannot convert.
    """
    if sentence.cut:
        said = prompt_of(sentence.cut)
    else:
        try:
            tokens = tokenizer(sentence.text, sentence.language)
        except ValueError as error:
            raise ValueError(f"synthesis.extra: {error}") from None
        reason, bad = judge(tokens, tokenizer.unknown)
        if bad:
            raise ValueError(f"synthesis.extra: {sentence.text!r}: {reason}")
        said = Prompt(tokens.ids, tokens.languages)
    prompt = prompt_of(sentence.prompt)
    texts = [(text.ids, text.languages) for text in (prompt, said)]
    before, after = frame(texts, tokenizer.separator, tokenizer.ends, language="after")
    return Request(*after, prompt=replace(prompt, ids=before[0], languages=before[1]))


def choose_sentences(
    test: Sequence[Cut],
    train: Iterable[Cut],
    count: int | None,
    extra: Sequence[str],
    prompt_seconds: float,
    seed: int,
) -> list[Sentence]:
    """Sentences of the test split, then `extra` ones in the voice of the first.

    The prompt is a recording of the same speaker: of train, or where train has none, another one
    of test. It is drawn from the eight whose length is nearest above `prompt_seconds`; where all
    are shorter, it is the longest. The draw depends on the seed and the sentence alone.

    Args:
        count: how many of the test split; None: all.

    Raises:
        ValueError: no other recording of a speaker can be the prompt.
    """
    chosen = sorted(test, key=lambda cut: cut.id)
    if count is not None and count < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, count), key=lambda cut: cut.id)
    of_speaker: dict[str, list[Cut]] = {cut.supervisions[0].speaker: [] for cut in chosen}
    for cut in train:
        if cut.supervisions[0].speaker in of_speaker:
            of_speaker[cut.supervisions[0].speaker].append(cut)
    for speaker, candidates in of_speaker.items():
        if not candidates:
            candidates += [cut for cut in test if cut.supervisions[0].speaker == speaker]

    def prompt_for(name: str, speaker: str) -> Cut:
        others = [cut for cut in of_speaker[speaker] if cut.id != name]
        if not others:
            raise ValueError(
                f"{name}: there is no other recording of {speaker} to be its prompt; "
                "add one, or hold out more than one recording of a speaker"
            )
        long = sorted(
            (cut for cut in others if cut.duration >= prompt_seconds),
            key=lambda cut: (cut.duration, cut.id),
        )
        if not long:
            return max(others, key=lambda cut: (cut.duration, cut.id))
        return random.Random(f"{seed}:{name}").choice(long[:8])

    sentences = []
    for cut in chosen:
        said = cut.supervisions[0]
        prompt = prompt_for(cut.id, said.speaker)
        sentences.append(Sentence(cut.id, said.text, said.language, said.speaker, prompt, cut))
    if extra:
        first = sentences[0]
        for number, text in enumerate(extra, 1):
            name = f"extra-{number}"
            prompt = prompt_for(name, first.speaker)
            sentences.append(Sentence(name, text, first.language, first.speaker, prompt))
    return sentences
