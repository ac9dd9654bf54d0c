"""`revoice speak` and `revoice serve`: what a trained voice says, from the command line."""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from revoice import __version__
from revoice.config import AudioConfig
from revoice.corpus.audio import resample
from revoice.download import DownloadError
from revoice.evaluation.choice import choose_recognizer
from revoice.evaluation.recognizers import Recognizer, load_pocketsphinx, load_whisper
from revoice.files import RESOURCES
from revoice.model.prompts import Prompt, write_preset
from revoice.speaking import serve
from revoice.speaking.options import add_synthesis, given_synthesis
from revoice.speaking.pieces import pieces
from revoice.speaking.talker import Talker, shown
from revoice.speaking.telling import How, speak_to
from revoice.speaking.writing import FORMATS

log = logging.getLogger(__name__)
INTERRUPTED = 130  # what a shell reports of a program that was interrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    options = _parser().parse_args(arguments)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", force=True)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, DownloadError) as error:
        print(f"revoice: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("revoice", description="Speak with a trained voice.")
    parser.add_argument("--version", action="version", version=f"revoice {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    speak = commands.add_parser("speak", help="a text to a file")
    speak.set_defaults(run=_speak)
    _add_options(speak)
    serving = commands.add_parser("serve", help="speak for other programs, over HTTP")
    serving.set_defaults(run=serve.run)
    serve.add_options(serving)
    voices = commands.add_parser("voices", help="the voices of a model")
    voices.add_argument("--model", required=True, type=Path, help="folder, e.g. results/my_voice")
    voices.add_argument("--verbose", action="store_true")
    voices.set_defaults(run=_list_voices)
    return parser


def _add_options(add: argparse.ArgumentParser) -> None:
    what = add.add_argument_group("what is said")
    what.add_argument("text", nargs="?", help="the text; without it, and --file, standard input")
    what.add_argument("--file", type=Path, help="a text file, UTF-8")
    what.add_argument("--lines", action="store_true", help="each line into a file of its own")
    what.add_argument("--language", help="of the text; tags as in [EN]yes[EN] say it within one")
    who = add.add_argument_group("in which voice")
    who.add_argument("--model", required=True, type=Path, help="folder, e.g. results/my_voice")
    who.add_argument("--voice", help="one of the model's voices, or a preset .npz")
    who.add_argument("--prompt", type=Path, help="a recording of the voice, 1 to 30 seconds")
    who.add_argument("--prompt-text", help="what it says; without, a recognizer listens")
    who.add_argument("--prompt-language", help="of the recording; default: that of the text")
    who.add_argument("--save-voice", type=Path, help="keep the prompt as a preset .npz")
    who.add_argument("--accent", help="a language whose accent the text gets")
    how = add.add_argument_group("how")
    how.add_argument("--speed", type=float, default=1.0, help="2: twice as fast")
    how.add_argument("--seed", type=int, default=1, help="of the random numbers")
    add_synthesis(how)
    how.add_argument("--prompts", choices=["first", "sliding"], default="first",
                     help="sliding: each piece goes on from the one before")  # fmt: skip
    how.add_argument("--verify", action="store_true", help="a recognizer listens: again, if wrong")
    how.add_argument("--retries", type=int, default=2, help="how often a piece is spoken again")
    how.add_argument("--errors", type=float, default=0.1, help="share of words that may be wrong")
    how.add_argument("--recognizer", default="base", help="base, pocketsphinx or Whisper's folder")
    how.add_argument("--data", type=Path, default="data", help="where weights of others are kept")
    how.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    out = add.add_argument_group("where to")
    out.add_argument("--out", type=Path, help="a file, or a folder with --lines; default: speech")
    out.add_argument("--format", choices=FORMATS, help="default: as --out ends, or wav")
    out.add_argument("--json", action="store_true", help="say on standard output what was done")
    out.add_argument("--quiet", action="store_true", help="no progress bar")
    out.add_argument("--verbose", action="store_true")


def _speak(options: argparse.Namespace) -> None:
    """Speak one text, or each of its lines."""
    if options.voice is not None and options.prompt is not None:
        raise ValueError("--voice and --prompt name two voices: give one of them")
    texts, files = _texts(options), _files(options)
    talker = Talker.load(options.model, options.device, given_synthesis(options), options.data)
    language = options.language or None
    known = talker.languages or [language or "en"]
    cut = [pieces(text, known, language) for text in texts]  # before a recognizer is asked for
    recognizer = load_recognizer(options.recognizer, options.data) if _listens(options) else None
    prompt = _prompt(options, talker, recognizer)
    if options.save_voice:
        write_preset(options.save_voice, prompt, talker.origin)
    keys = "speed accent seed prompts retries errors".split()
    how = How(**{key: getattr(options, key) for key in keys})
    hears = recognizer if options.verify else None
    quiet = True if options.quiet else None  # None: unless standard error is no terminal
    bar = tqdm(total=sum(map(len, cut)), unit="piece", disable=quiet)
    done = []
    for path, some in zip(files(len(texts)), cut, strict=True):
        done.append(speak_to(path, talker, some, prompt, how, hears, bar))
        if not options.json:
            print(f"{path}: {done[-1]['seconds']:.1f} s of speech in {done[-1]['took']:.1f} s")
    bar.close()
    if options.json:
        print(json.dumps(done, indent=1, ensure_ascii=False))


def _listens(options: argparse.Namespace) -> bool:
    return options.verify or (options.prompt is not None and options.prompt_text is None)


def load_recognizer(name: str, data: Path) -> Recognizer:
    """Whisper by its name or folder, or pocketsphinx, which steps in where there is no Whisper."""
    if name == "pocketsphinx":
        return load_pocketsphinx()
    choice = choose_recognizer(name, RESOURCES / "pretrained.yaml", data)
    folder = choice["folder"]
    return load_whisper(folder, compute_type="int8") if folder else load_pocketsphinx()


def _prompt(options: argparse.Namespace, talker: Talker, recognizer: Recognizer | None) -> Prompt:
    """The voice's prompt: of the model's voices, a preset, or a recording."""
    if options.prompt is None:
        return talker.voice(options.voice)
    language = options.prompt_language or options.language or (talker.languages or ["en"])[0]
    with tempfile.TemporaryDirectory() as folder:
        name, path = options.prompt.name, options.prompt.resolve()
        (source,) = resample("prompt", [name], path.parent, Path(folder), AudioConfig())
        if source.reason:
            raise ValueError(f"{options.prompt} {source.reason}")
        samples, rate = soundfile.read(Path(folder) / f"{source.id}.wav", dtype="float32")
    text = options.prompt_text
    if text is None:
        assert recognizer is not None
        text = recognizer(samples, rate, language)
        log.warning("%s: heard %r; --prompt-text says it better", options.prompt, shown(text))
    return talker.prompt_of(samples, text, language, str(options.prompt))


def _texts(options: argparse.Namespace) -> list[str]:
    """The texts that are to be spoken, each for a file."""
    if options.text is not None and options.file is not None:
        raise ValueError("a text and --file are given: leave out one of them")
    if options.file is not None:
        try:
            text = options.file.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{options.file} is not in UTF-8: {error}. Save it as such.") from None
    elif options.text is not None:
        text = options.text
    else:
        if sys.stdin.isatty():
            print("reading the text; end with Ctrl-D", file=sys.stderr)
        text = sys.stdin.buffer.read().decode("utf-8-sig", "strict")
    texts = [line for line in text.splitlines() if line.strip()] if options.lines else [text]
    if not any(each.strip() for each in texts):
        raise ValueError("there is no text to speak")
    return texts


def _files(options: argparse.Namespace) -> Any:
    """From how many texts there are to their files."""
    suffix = options.out.suffix.lstrip(".").lower() if options.out else ""
    if options.lines and suffix in FORMATS:
        raise ValueError(f"--lines writes many files: --out {options.out} must name a folder")
    kind = options.format or (suffix if suffix in FORMATS else "wav")
    if options.lines:
        folder = options.out or Path("speech")
        return lambda count: [
            folder / f"{str(number).zfill(max(3, len(str(count))))}.{kind}"
            for number in range(1, count + 1)
        ]
    path = options.out or Path(f"speech.{kind}")
    if options.out and suffix != kind:
        if suffix in FORMATS or (suffix and not options.format):
            raise ValueError(
                f"--out {options.out}: a format is one of {', '.join(FORMATS)}"
                + (f", and --format says {options.format}" if options.format else "")
            )
        path = path.with_name(f"{path.name}.{kind}")
    return lambda count: [path]


def _list_voices(options: argparse.Namespace) -> None:
    talker = Talker.load(options.model, "cpu", {"weights": "fp32"})
    for voice in talker.voices:
        good = f", DNSMOS {voice.dnsmos:.2f}" if voice.dnsmos else ""
        print(f"{voice.name}: {voice.language}, {voice.seconds:.1f} s{good}: {voice.text}")
    if not talker.voices:
        print(f"{talker.name} has no voices: give a --prompt, or a preset as --voice")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
