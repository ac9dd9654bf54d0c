"""`revoice speak` and `revoice serve`: what a trained voice says, from the command line."""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import soundfile
from tqdm import tqdm

from revoice import __version__
from revoice.config import AudioConfig, Prompts
from revoice.corpus.audio import resample
from revoice.download import DownloadError
from revoice.evaluation.choice import choose_recognizer
from revoice.evaluation.recognizers import Recognizer, load_recognizer
from revoice.files import RESOURCES
from revoice.model.prompts import Prompt, write_preset
from revoice.speaking import serve
from revoice.speaking.options import add_synthesis, given_synthesis
from revoice.speaking.pieces import pieces
from revoice.speaking.talker import Talker, shown
from revoice.speaking.telling import How, check, read_text, speak_to
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
    who.add_argument("--prompt-language", help="of the recording; default: --language")
    who.add_argument("--save-voice", type=Path, help="keep the prompt as a preset .npz")
    who.add_argument("--accent", help="a language whose accent the text gets")
    how = add.add_argument_group("how")
    how.add_argument("--speed", type=float, default=1.0, help="2: twice as fast")
    how.add_argument("--seed", type=int, default=1, help="of the random numbers")
    add_synthesis(how)
    how.add_argument("--prompts", choices=get_args(Prompts), default="first",
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
    _check(options)
    texts = _texts(options)
    paths = _files(options, list(texts))
    talker = Talker.load(options.model, options.device, given_synthesis(options), options.data)
    language = options.language or None
    cut = {}
    for line, text in texts.items():  # before a recognizer is asked for
        with _located(options, line):
            cut[line] = pieces(text, talker.known(language), language)
    recognizer = choose_listener(options.recognizer, options.data) if _listens(options) else None
    prompt = _prompt(options, talker, recognizer)
    if options.save_voice:
        write_preset(options.save_voice, prompt, talker.origin)
    keys = "speed accent seed prompts retries errors".split()
    heard_by = options.recognizer if options.verify else ""
    how = How(**{key: getattr(options, key) for key in keys}, heard_by=heard_by)
    hears = recognizer if options.verify else None
    for line, some in cut.items():
        with _located(options, line):
            check(talker, some, prompt, how)
    quiet = True if options.quiet else None  # None: unless standard error is no terminal
    done: list[dict[str, Any]] = []
    kept = paths[0].parent / ".pieces" if options.lines else None  # until all lines are done
    try:
        with tqdm(total=sum(map(len, cut.values())), unit="piece", disable=quiet) as bar:
            for path, (line, some) in zip(paths, cut.items(), strict=True):
                one = speak_to(path, talker, some, prompt, how, hears, bar, kept)
                done.append({**({"line": line} if options.lines else {}), **one})
                if not options.json:
                    print(f"{path}: {one['seconds']:.1f} s of speech in {one['took']:.1f} s")
    finally:
        if options.json and done:
            print(json.dumps(done, indent=1, ensure_ascii=False))
    if kept:
        shutil.rmtree(kept, ignore_errors=True)


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError for options that do not go together."""
    if options.voice is not None and options.prompt is not None:
        raise ValueError("--voice and --prompt name two voices: give one of them")
    if options.prompt is None:
        for key in ("prompt_text", "prompt_language", "save_voice"):
            if getattr(options, key) is not None:
                name = key.replace("_", "-")
                raise ValueError(f"--{name} is of a recording: give it as --prompt")
    if options.save_voice and options.save_voice.suffix != ".npz":
        raise ValueError(f"--save-voice {options.save_voice}: a preset's name ends in .npz")


@contextmanager
def _located(options: argparse.Namespace, line: int) -> Iterator[None]:
    """Let errors say where the text is from."""
    try:
        yield
    except ValueError as error:
        where = [str(options.file)] if options.file else []
        where += [f"line {line}"] if options.lines else []
        told = str(error).removeprefix("line 1 " if options.lines else "")
        raise ValueError(f"{', '.join(where)}: {told}" if where else told) from None


def _listens(options: argparse.Namespace) -> bool:
    return options.verify or (options.prompt is not None and options.prompt_text is None)


def choose_listener(name: str, data: Path) -> Recognizer:
    """Whisper by its name or folder, or pocketsphinx, which steps in where there is no Whisper."""
    if name == "pocketsphinx":
        return load_recognizer(None)
    if name != "base" and not Path(name).is_dir():
        raise ValueError(f"--recognizer {name} is neither base, pocketsphinx nor Whisper's folder")
    name = name if name == "base" else f"./{name}" if "/" not in name else name
    choice = choose_recognizer(name, RESOURCES / "pretrained.yaml", data)
    return load_recognizer(choice["folder"], "int8")


def _prompt(options: argparse.Namespace, talker: Talker, recognizer: Recognizer | None) -> Prompt:
    """The voice's prompt: of the model's voices, a preset, or a recording."""
    if options.prompt is None:
        return talker.voice(options.voice)
    language = options.prompt_language or options.language or talker.known()[0]
    with tempfile.TemporaryDirectory() as folder:
        name, path = options.prompt.name, options.prompt.absolute()
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


def _texts(options: argparse.Namespace) -> dict[int, str]:
    """The texts that are to be spoken, by the numbers of their lines; 1 for all of it."""
    if options.text is not None and options.file is not None:
        raise ValueError("a text and --file are given: leave out one of them")
    if options.file is not None:
        text = read_text(options.file)
    elif options.text is not None:
        text = options.text
    else:
        if sys.stdin.isatty():
            print("reading the text; end with Ctrl-D", file=sys.stderr)
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"standard input is not in UTF-8: {error}") from None
    lines = enumerate(text.splitlines(), 1) if options.lines else [(1, text)]
    texts = {number: line for number, line in lines if line.strip()}
    if not texts:
        raise ValueError("there is no text to speak")
    return texts


def _files(options: argparse.Namespace, lines: list[int]) -> list[Path]:
    """The files that texts are spoken to; ValueError where they cannot be."""
    out = options.out
    suffix = out.suffix.lstrip(".").lower() if out else ""
    if options.lines and suffix in FORMATS:
        raise ValueError(f"--lines writes many files: --out {out} must name a folder")
    kind = options.format or (suffix if suffix in FORMATS else "wav")
    if options.lines:
        folder, digits = out or Path("speech"), max(3, len(str(max(lines))))
        paths = [folder / f"{str(number).zfill(digits)}.{kind}" for number in lines]
    elif out is None or out.is_dir():
        paths = [(out or Path()) / f"speech.{kind}"]
    elif suffix == kind:
        paths = [out]
    elif suffix in FORMATS or (suffix and not options.format) or str(out) == "-":
        asked = f", and --format says {options.format}" if options.format else ""
        raise ValueError(f"--out {out}: a file ends in .{', .'.join(FORMATS)}{asked}")
    else:
        paths = [out.with_name(f"{out.name}.{kind}")]
    for path in (paths[0], *paths[0].parents):
        if path.exists() and path.is_dir() != (path != paths[0]):
            raise ValueError(f"--out {out}: {path} is {'a folder' if path.is_dir() else 'a file'}")
    return paths


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
