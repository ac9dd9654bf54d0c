"""The default corpus: the voice prompts of the Asterisk telephone exchange, in five languages.

What belongs to it stands in `resources/asterisk/{language}.sha256`, one file per language in the
form that `sha256sum -c` reads, so that the corpus is known before it is fetched. The recordings
come as Debian packages or, elsewhere, as the release tarballs of the Asterisk project.
"""

import gzip
import hashlib
import logging
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from revoice.download import download
from revoice.files import RESOURCES, atomic

log = logging.getLogger(__name__)

VERSION = "1.6.1"
RELEASES = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
SUMS = RESOURCES / "asterisk"
BYTES_PER_SECOND = 8000  # G.722: 16 kHz, 64 kbit/s
LETTERS_PER_SECOND = 22  # nobody speaks faster: such a text describes a tone, or is cut short

SUFFIX = ".g722"
SPEECH, OTHER, TRANSCRIPTS = "speech", "not speech, or of uncertain text", "transcripts"
LICENCES = {
    "CC BY-SA 3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC BY 3.0": "https://creativecommons.org/licenses/by/3.0/",
}


class Voice(NamedTuple):
    """Who speaks, and on what terms; from the packages' copyright files."""

    speaker: str
    credit: str
    licence: str


VOICES = {
    "en": Voice("allison", "Allison Smith (theivrvoice.com)", "CC BY-SA 3.0"),
    "es": Voice("allison", "Allison Smith (theivrvoice.com)", "CC BY-SA 3.0"),
    "fr": Voice("june", "June Wallack (junewallack.com)", "CC BY-SA 3.0"),
    "it": Voice("carlo", "Carlo Flora (carloflora.com)", "CC BY 3.0"),
    "ru": Voice("maxim", "provided by Maxim Topal (ivrvoice.ru)", "CC BY 3.0"),
}


class Source(NamedTuple):
    """What a source holds, {path: content} of audio and transcript list, and its name."""

    files: dict[str, bytes]
    name: str


def asterisk_index(language: str) -> list[tuple[str, str]]:
    """(Path of an audio file below the language's folder, SHA-256), sorted by path.

    Speech alone: tones, silence and files of uncertain text are left out. Nothing is fetched.

    Raises:
        ValueError: the corpus has no such language.
    """
    return sorted(_sums(language)[SPEECH].items())


def fetch(
    language: str,
    folder: str | Path,
    *,
    base_url: str = RELEASES,
    apt_options: Sequence[str] = (),
) -> dict[str, Any]:
    """Put the language's speech into `folder`: each `name.g722` and beside it `name.txt`.

    Tries `apt-get download`, then the release tarball below `base_url`, which is kept beside
    `folder`; one that was put there by hand is used. Every file is checked against the sums that
    revoice carries. The folder appears whole or not at all.

    Args:
        apt_options: further options for apt-get, e.g. ("-o", "Dir::State::lists=/some/folder").

    Returns:
        What was fetched: language, speaker, credit, licence, source, files, seconds.

    Raises:
        ValueError: the corpus has no such language.
        RuntimeError: neither source has the recordings; the message says what to do.
    """
    folder = Path(folder)
    sums = _sums(language)
    tarball = folder.parent / f"asterisk-core-sounds-{language}-g722-{VERSION}.tar.gz"
    sources: dict[str, Callable[[], Source]] = {
        "Debian's packages": lambda: _from_packages(language, apt_options),
        "the release tarball": lambda: _from_tarball(tarball, base_url),
    }
    failures = []
    for name, get in sources.items():
        try:
            source = get()
            _check(source.files, {k: v for section in sums.values() for k, v in section.items()})
        except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
            log.warning("%s (%s): %s", name, language, error)
            failures.append(f"- {name}: {str(error).splitlines()[0]}")
        else:
            return _lay_out(language, source, sums[SPEECH], folder)
    raise RuntimeError(
        f"the {language} recordings of the default corpus could not be had:\n"
        + "\n".join(failures)
        + f"\nGet {base_url.rstrip('/')}/{tarball.name} in another way, put it at "
        f"{tarball.resolve()} (in the place of a broken one) and run again, or name another "
        "corpus in the configuration."
    )


def read_transcripts(content: str) -> dict[str, str]:
    """A transcript list (`name: text` per line, `;` for comments) as {name: text as spoken}.

    Of a name that stands there twice the first text counts. A name whose text is not what is
    heard, or not certainly so, is left out:

    - a text in brackets of any kind, which names a tone, a noise or silence;
    - one with a note in brackets. `at [@]`, a word with its sign, loses the sign instead;
    - one with `*` or `#`, which are read in various ways;
    - one that is damaged: a ` ? ` in the place of a letter, or further entries inside it.
    """
    texts: dict[str, str] = {}
    for line in content.removeprefix("\ufeff").splitlines():
        name, colon, text = (part.strip() for part in line.partition(":"))
        if not colon or name.startswith(";"):
            continue
        if name in texts:
            log.info("transcripts: %s stands there twice, the first one counts", name)
            continue
        text = re.sub(r"\[[^\w\[\]]*\]", "", text)
        texts[name] = " ".join(text.split()).strip('" ')
    return {name: text for name, text in texts.items() if _spoken(text)}


def _spoken(text: str) -> bool:
    if not re.search(r"\w", text) or re.search(r"[\[\]()<>{}*#]", text):
        return False
    return not re.search(r" \? [a-zà-ÿ]|\b[a-z]+(-[a-z]+)+: ", text)


def match_transcripts(names: Iterable[str], texts: Mapping[str, str]) -> dict[str, str]:
    """{audio name: text}; the names may differ from the list's in upper and lower case."""
    names = set(names)
    folded = {name.casefold(): text for name, text in texts.items() if name not in names}
    found = {name: texts.get(name) or folded.get(name.casefold()) for name in sorted(names)}
    return {name: text for name, text in found.items() if text}


def format_sums(language: str, files: Mapping[str, bytes]) -> str:
    """The text of `resources/asterisk/{language}.sha256` for an unpacked release."""
    texts = _texts(language, files)
    audio = sorted(name for name in files if name.endswith(SUFFIX))
    sections = {
        SPEECH: [name for name in audio if name.removesuffix(SUFFIX) in texts],
        OTHER: [name for name in audio if name.removesuffix(SUFFIX) not in texts],
        TRANSCRIPTS: [_list_name(language)],
    }
    lines = []
    for heading, names in sections.items():
        lines += [f"# {heading}", *(f"{_digest(files[name])}  {name}" for name in names)]
    return "\n".join(lines) + "\n"


def _sums(language: str) -> dict[str, dict[str, str]]:
    """{section: {path: SHA-256}} of the sums file."""
    path = SUMS / f"{language}.sha256"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in SUMS.glob("*.sha256")))
        raise ValueError(f"the default corpus has no language {language!r}; it has {known}")
    sections: dict[str, dict[str, str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# "):
            section = sections.setdefault(line.removeprefix("# "), {})
        else:
            digest, name = line.split(maxsplit=1)
            section[name] = digest
    return sections


def _list_name(language: str) -> str:
    return f"core-sounds-{language}.txt"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _texts(language: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """{name of a speech file without suffix: its text}."""
    seconds = {
        name.removesuffix(SUFFIX): len(content) / BYTES_PER_SECOND
        for name, content in files.items()
        if name.endswith(SUFFIX)
    }
    listed = read_transcripts(files[_list_name(language)].decode("utf-8"))
    texts = match_transcripts(seconds, listed)
    return {
        name: text
        for name, text in texts.items()
        if len(re.findall(r"\w", text)) <= LETTERS_PER_SECOND * seconds[name]
    }


def _from_packages(language: str, options: Sequence[str]) -> Source:
    audio, transcripts = f"asterisk-core-sounds-{language}-g722", f"asterisk-core-sounds-{language}"
    # Without its sandbox user apt does not warn that this user cannot write to our folder.
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20"]
    apt += options
    with tempfile.TemporaryDirectory(prefix="asterisk-") as folder:
        work = Path(folder)
        try:
            _run([*apt, "download", audio, transcripts], work)
        except RuntimeError as error:
            log.info("%s; updating package lists in a folder of our own", error)
            for place in ("lists", "cache/archives"):
                (work / place / "partial").mkdir(parents=True)
            apt += ["-o", f"Dir::State::lists={work / 'lists'}", "-o", f"Dir::Cache={work}/cache"]
            _run([*apt, "update"], work)
            _run([*apt, "download", audio, transcripts], work)
        for archive in work.glob("*.deb"):
            _run(["dpkg-deb", "-x", archive.name, "unpacked"], work)
            version = archive.name.split("_")[1]
        share = work / "unpacked" / "usr" / "share"
        (sounds,) = (share / "asterisk" / "sounds").glob(f"{language}_*")
        listed = share / "doc" / transcripts / f"{_list_name(language)}.gz"
        files = {p.relative_to(sounds).as_posix(): p.read_bytes() for p in sounds.rglob("*.g722")}
        files[_list_name(language)] = gzip.decompress(listed.read_bytes())
    return Source(files, f"Debian package {audio} {version}")


def _from_tarball(tarball: Path, base_url: str) -> Source:
    # No sum is known for the tarball itself: the files inside are checked.
    download(f"{base_url.rstrip('/')}/{tarball.name}", tarball)
    files = {}
    with tarfile.open(tarball) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                files[member.name.removeprefix("./")] = content.read()
    return Source(files, f"release tarball {tarball.name}")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        complaint = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"{command[0]} failed: {complaint}")


def _check(files: Mapping[str, bytes], sums: Mapping[str, str]) -> None:
    missing = sorted(set(sums) - set(files))
    changed = [name for name in sums if name in files and _digest(files[name]) != sums[name]]
    for problem, names in (("are missing", missing), ("have another SHA-256", changed)):
        if names:
            raise ValueError(f"{len(names)} of {len(sums)} files {problem}, the first: {names[0]}")


def _lay_out(
    language: str, source: Source, speech: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    texts = _texts(language, source.files)
    voice = VOICES[language]
    with atomic(folder) as temporary:
        for name in speech:
            audio = temporary / name
            audio.parent.mkdir(parents=True, exist_ok=True)
            audio.write_bytes(source.files[name])
            stem = name.removesuffix(SUFFIX)
            audio.with_suffix(".txt").write_text(texts[stem] + "\n", "utf-8")
        (temporary / "README.txt").write_text(
            f"Asterisk core sounds {VERSION}, {language}: {voice.credit}, {voice.licence}.\n"
            f"{LICENCES[voice.licence]}\n"
            f"From: {source.name}. The audio is unchanged; tones, silence and recordings of\n"
            "uncertain text are left out, and the transcript list is split into one file each.\n",
            "utf-8",
        )
    return {
        "language": language,
        **voice._asdict(),
        "source": source.name,
        "files": len(speech),
        "seconds": sum(len(source.files[name]) for name in speech) / BYTES_PER_SECOND,
    }
