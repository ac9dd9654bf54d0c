"""A model that speaks any text: its parts, its tokenizer and its codec, from one folder."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from revoice.codec.choice import Choice
from revoice.codec.files import Codec, load_codec
from revoice.codec.vocos import VocosDecoder, load_decoder
from revoice.codec.vocos_files import choose_decoder
from revoice.config import SynthesisConfig
from revoice.config_file import load_synthesis
from revoice.devices import best_device
from revoice.evaluation.trained import load_trained
from revoice.files import RESOURCES, read_json, sha256
from revoice.model.drawing import Sampling, sampling_of
from revoice.model.generate import Request, ask, check_request, with_aligned_prompt
from revoice.model.prompts import Origin, Prompt, read_preset
from revoice.model.sounds import Entries, entries_of
from revoice.model.stepping import ready
from revoice.model.valle import AR, NAR
from revoice.speaking.pieces import Piece
from revoice.speaking.sound import FASTEST, SLOWEST, levelled, stretched, trimmed
from revoice.speaking.voices import Voice, read_voices
from revoice.text import Tokenizer
from revoice.text.espeak import MARKS as READ
from revoice.text.espeak import SENTENCE_ENDS
from revoice.text.tokens import Tokens

log = logging.getLogger(__name__)

MARKS = {*READ, "—", "–", "~", '"', "'", "(", ")"}
LACKING = 0.05  # of a piece's sounds: so many that the model lacks are passed over
SHORTEST, LONGEST = 1.0, 30.0  # seconds of a prompt
PLENTY = 15.0  # seconds: a longer prompt is slow, and no better
Samples = NDArray[np.float32]


@dataclass
class Talker:
    """A model that is ready to speak.

    `languages`: those that it knows, the most usual first; empty: nobody says. `digest`: SHA-256 of
    its weights. `planned`: whether it plans its pace, and so can speak faster by itself.
    """

    name: str
    ar: AR
    nar: NAR
    tokenizer: Tokenizer
    codec: Codec
    decoder: Codec | VocosDecoder
    config: SynthesisConfig
    origin: Origin
    digest: str
    languages: list[str] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        given: Mapping[str, Any] | None = None,
        data: str | Path = "data",
    ) -> "Talker":
        """The model of a folder as `assemble` and `pack` write it.

        `given`: keys of the configuration's `synthesis` in place of those that lie with the model.
        `data`: where weights of Vocos are kept, or fetched to, if `decoder` asks for them.
        Raises FileNotFoundError where a file is missing, ValueError where some do not fit together,
        DownloadError for weights that cannot be had.
        """
        folder = Path(folder)
        names = ("model.safetensors", "model.json", "tokenizer.json", "codec.json")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f"{folder} is not a model's folder: there is no {', '.join(missing)}. "
                "Name one that holds a trained model, such as results/my_voice."
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("there is no CUDA device here: leave the choice to `auto`")
        device = best_device() if device == "auto" else device
        model, _, symbols, codec_json = (folder / name for name in names)
        ar, nar, _, tokenizer = load_trained(model, symbols, codec_json)
        description = read_json(codec_json)
        codec = load_codec(codec_json, device)
        origin = Origin(tokenizer.digest(), description["sha256"])
        known = read_voices(folder / "voices", origin)
        own = load_synthesis(known.synthesis if known else {}, str(folder / "voices/voices.json"))
        config = load_synthesis({**own.model_dump(), **(given or {})}, folder.name)
        ar, nar = ar.to(device).eval(), nar.to(device).eval()
        ready(ar, nar, config.weights)
        digest = sha256(model)
        name = folder.resolve().name
        talker = cls(name, ar, nar, tokenizer, codec, codec, config, origin, digest)
        if config.decoder == "vocos":
            codec_choice = Choice(name=description["name"], reason=f"of {name}", weights=None)
            published, kept = RESOURCES / "pretrained.yaml", Path(data) / "vocos"
            choice = choose_decoder(codec_choice, published, kept)
            talker.decoder = load_decoder(codec, choice)
        talker.languages = list(ar.config.languages) or (known.languages if known else [])
        if known:
            talker.voices, talker.prompts = known.voices, known.prompts
        return talker

    @property
    def sampling(self) -> Sampling:
        """How the AR draws."""
        return sampling_of(self.config, self.codec.frame_rate)

    @property
    def entries(self) -> Entries | None:
        """What the NAR chooses sounds among; None: it says its likeliest codes."""
        return entries_of(self.codec) if self.config.nar == "expected" else None

    @property
    def planned(self) -> bool:
        return self.ar.config.text_positions == "frames"

    def known(self, language: str | None = None) -> list[str]:
        """The languages of texts: its own, or where nobody says them the one that is asked for."""
        return self.languages or [language or "en"]

    def voice(self, name: str | None = None) -> Prompt:
        """The prompt of a voice, by its name or the path of a preset; None: the default one.

        Raises ValueError for a voice that is not there, or is another model's.
        """
        if name is None and not self.voices:
            log.warning("%s has no voices: it speaks without a prompt", self.name)
            return Prompt(codes=np.zeros((0, self.codec.num_quantizers), np.int16))
        name = name or self.voices[0].name
        if name in self.prompts:
            prompt = self.prompts[name]
        elif name.endswith(".npz"):
            prompt = read_preset(name, self.origin)
        else:
            known = ", ".join(self.prompts) or "none"
            raise ValueError(f"{self.name} has no voice {name!r}; its voices: {known}")
        if prompt.codes.max(initial=0) >= self.codec.bins:
            raise ValueError(f"{name}: its codes are not below {self.codec.bins}, as the codec's")
        if len(prompt.ids):
            check_request(Request([0], prompt.languages[:1], prompt), self.ar.config, name)
        return self.aligned(prompt)

    def aligned(self, prompt: Prompt) -> Prompt:
        """The prompt with the frames of its symbols, where the model wants to know them."""
        return with_aligned_prompt(Request([0], ["en"], prompt), self.nar).prompt

    def prompt_of(self, samples: Samples, text: str, language: str, name: str) -> Prompt:
        """A prompt of a recording: (N,) at the codec's rate, and what is said in it.

        Raises ValueError, which begins with the name, where it is of no use as one.
        """
        samples = trimmed(samples, self.codec.sample_rate)
        seconds = len(samples) / self.codec.sample_rate
        if not SHORTEST <= seconds <= LONGEST:
            raise ValueError(
                f"{name} has {seconds:.1f} s of sound: a prompt has {SHORTEST:g} to {LONGEST:g} s, "
                "three to ten at best"
            )
        if seconds > PLENTY:
            log.warning("%s is %.0f s long: three to ten would do, and be faster", name, seconds)
        tokens = self._tokens(text, language, name)
        prompt = Prompt(tokens.ids, tokens.languages, self.codec.encode(samples))
        check_request(Request([0], prompt.languages[:1], prompt), self.ar.config, name)
        return self.aligned(prompt)

    def request(
        self,
        piece: Piece,
        prompt: Prompt,
        seed: tuple[int, ...],
        speed: float = 1.0,
        accent: str | None = None,
    ) -> Request:
        """What the model is asked for: a piece in the voice of a prompt.

        Raises ValueError, which quotes the text, for what the model cannot say.
        """
        if accent and not self.ar.config.languages:
            raise ValueError(
                f"{self.name} has no accent to give: it has no language embedding. Leave it out."
            )
        if not self.planned and not SLOWEST <= speed <= FASTEST:
            raise ValueError(
                f"{self.name} does not plan its pace: what it says can be made {SLOWEST:g} to "
                f"{FASTEST:g} times as fast, not {speed:g}"
            )
        ids, languages = list[int](), list[str]()
        for span in piece.spans:
            tokens = self._tokens(span.text, span.language, repr(shown(span.text)))
            between = self.tokenizer.separator if ids else ()
            ids += [*between, *tokens.ids]
            languages += [*[span.language] * len(between), *tokens.languages]
        asked = ask(prompt, ids, languages, self.tokenizer)
        pace = speed if self.planned else 1.0
        asked = replace(asked, seed=seed, speed=pace, accent=accent)
        check_request(asked, self.ar.config, repr(shown(piece.text)))
        return asked

    def sound(self, codes: NDArray[np.int16], speed: float = 1.0) -> Samples:
        """What codes sound like: without silence at both ends, at one loudness.

        `speed`: for a model that does not plan its pace.
        """
        rate = self.codec.sample_rate
        samples = trimmed(self.decoder.decode(codes), rate)
        if speed != 1.0 and not self.planned:
            samples = stretched(samples, rate, speed)
        return levelled(samples, rate)

    def _tokens(self, text: str, language: str, name: str) -> Tokens:
        """A text's tokens; marks that the model lacks are others, a few sounds are passed over."""
        (tokens,) = self.tokenizer.batch([text], language)
        kept, lacking = Tokens([], [], []), list[str]()
        for symbol, number, spoken in zip(*tokens, strict=True):
            if number == self.tokenizer.unknown < 0:  # vallex has an id for what it does not know
                other = self._other_mark(symbol)
                if other is None:
                    lacking += [symbol] if symbol not in MARKS else []
                    continue
                symbol, number = other, self.tokenizer.symbols.index(other)
            kept.symbols.append(symbol)
            kept.ids.append(number)
            kept.languages.append(spoken)
        if len(lacking) > LACKING * len(tokens.ids):
            raise ValueError(
                f"{name} ({language}) has sounds that the model never read: "
                f"{' '.join(sorted(set(lacking)))}. Is it in another language? "
                "Change the text, or train with such texts."
            )
        if not any(symbol[0].isalpha() for symbol in kept.symbols):
            raise ValueError(f"{name} ({language}): there is nothing to say in it")
        if lacking:
            log.warning("%s: the model lacks %s: said without", name, " ".join(lacking))
        return kept

    def _other_mark(self, symbol: str) -> str | None:
        """A mark that the model knows for one that it does not."""
        if symbol not in MARKS:
            return None
        ends = symbol in SENTENCE_ENDS
        return next((m for m in (".,"[:: 1 if ends else -1]) if m in self.tokenizer.symbols), None)


def shown(text: str, length: int = 60) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= length else f"{text[:length]}…"
