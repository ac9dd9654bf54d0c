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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from revoice.download import download
from revoice.files import PACKAGE, RESOURCES, atomic, read_json

log = logging.getLogger(__name__)

VERSION = "1.6.1"
RELEASES = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
SUMS = RESOURCES / "asterisk"
BYTES_PER_SECOND = 8000  # G.722: 16 kHz, 64 kbit/s
LETTERS_PER_SECOND = 22  # nobody speaks faster: such a text describes a tone, or is cut short
# Who speaks, and on what terms; from the packages' copyright files.
VOICES = read_json(PACKAGE / "corpus" / "voices.json")

SUFFIX = ".g722"
SPEECH = "speech"  # the section of a sums file that has it

Source = tuple[dict[str, bytes], str]  # {path: content} of audio and transcript list, and its name


def asterisk_index(language: str) -> list[tuple[str, str]]:
    """(Path of a speech file below the language's folder, SHA-256), sorted; nothing is fetched.

    Raises ValueError for a language that the corpus does not have.
    """
    return sorted(_sums(language)[SPEECH].items())


def fetch(language: str, folder: str | Path, *, base_url: str = RELEASES) -> dict[str, Any]:
    """Put the language's speech into `folder`: each `name.g722` and beside it `name.txt`.

    Tries `apt-get download`, then the release tarball below `base_url`, which is kept beside
    `folder`; one that was put there by hand is used. Every file is checked against the sums that
    revoice carries. The folder appears whole or not at all. Returns what was fetched: language,
    speaker, credit, licence, source, files, seconds.

    Raises:
        ValueError: the corpus has no such language.
        RuntimeError: neither source has the recordings; the message says what to do.
    """
    folder = Path(folder)
    sums = _sums(language)
    tarball = folder.parent / f"asterisk-core-sounds-{language}-g722-{VERSION}.tar.gz"
    sources: dict[str, Callable[[], Source]] = {
        "Debian's packages": lambda: _from_packages(language),
        "the release tarball": lambda: _from_tarball(tarball, base_url),
    }
    failures = []
    for name, get in sources.items():
        try:
            files, origin = get()
            _check(files, {k: v for section in sums.values() for k, v in section.items()})
        except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
            log.warning("%s (%s): %s", name, language, error)
            failures.append(f"- {name}: {str(error).splitlines()[0]}")
        else:
            return _lay_out(language, files, origin, sums[SPEECH], folder)
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
    heard, or not certainly so, is left out. `at [@]`, a word with its sign, loses the sign.
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
    # brackets name a tone, a noise or silence, or hold a note; * and # are read in various ways
    if not re.search(r"\w", text) or re.search(r"[\[\]()<>{}*#]", text):
        return False
    # damage: a ` ? ` in the place of a letter, or further entries inside
    return not re.search(r" \? [a-zà-ÿ]|\b[a-z]+(-[a-z]+)+: ", text)


def match_transcripts(names: Iterable[str], texts: Mapping[str, str]) -> dict[str, str]:
    """{audio name: text}; the names may differ from the list's in upper and lower case."""
    names = set(names)
    folded = {name.casefold(): text for name, text in texts.items() if name not in names}
    found = {name: texts.get(name) or folded.get(name.casefold()) for name in sorted(names)}
    return {name: text for name, text in found.items() if text}


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


def spoken_texts(language: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """{name of a speech file without suffix: its text}."""
    seconds = {
        name.removesuffix(SUFFIX): len(content) / BYTES_PER_SECOND
        for name, content in files.items()
        if name.endswith(SUFFIX)
    }
    listed = read_transcripts(files[f"core-sounds-{language}.txt"].decode("utf-8"))
    return {
        name: text
        for name, text in match_transcripts(seconds, listed).items()
        if len(re.findall(r"\w", text)) <= LETTERS_PER_SECOND * seconds[name]
    }


def _from_packages(language: str) -> Source:
    transcripts = f"asterisk-core-sounds-{language}"
    audio = f"{transcripts}-g722"
    # Without its sandbox user apt does not warn that this user cannot write to our folder.
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20"]
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
        name = f"core-sounds-{language}.txt"
        files = {p.relative_to(sounds).as_posix(): p.read_bytes() for p in sounds.rglob("*.g722")}
        files[name] = gzip.decompress((share / "doc" / transcripts / f"{name}.gz").read_bytes())
    return files, f"Debian package {audio} {version}"


def _from_tarball(tarball: Path, base_url: str) -> Source:
    # No sum is known for the tarball itself: the files inside are checked.
    download(f"{base_url.rstrip('/')}/{tarball.name}", tarball)
    with tarfile.open(tarball) as archive:
        files = {
            member.name.removeprefix("./"): content.read()
            for member in archive
            if (content := archive.extractfile(member)) is not None
        }
    return files, f"release tarball {tarball.name}"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        complaint = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"{command[0]} failed: {complaint}")


def _check(files: Mapping[str, bytes], sums: Mapping[str, str]) -> None:
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    missing = sorted(set(sums) - set(found))
    changed = [name for name in sums if name in found and found[name] != sums[name]]
    for problem, names in (("are missing", missing), ("have another SHA-256", changed)):
        if names:
            raise ValueError(f"{len(names)} of {len(sums)} files {problem}, the first: {names[0]}")


def _lay_out(
    language: str, files: dict[str, bytes], origin: str, speech: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    texts, voice = spoken_texts(language, files), dict(VOICES[language])
    terms = voice.pop("terms")
    with atomic(folder) as temporary:
        for name in speech:
            audio = temporary / name
            audio.parent.mkdir(parents=True, exist_ok=True)
            audio.write_bytes(files[name])
            audio.with_suffix(".txt").write_text(texts[name.removesuffix(SUFFIX)] + "\n", "utf-8")
        (temporary / "README.txt").write_text(
            f"Asterisk core sounds {VERSION}, {language}: {voice['credit']}, {voice['licence']}.\n"
            f"{terms}\n"
            f"From: {origin}. The audio is unchanged; tones, silence and recordings of\n"
            "uncertain text are left out, and the transcript list is split into one file each.\n",
            "utf-8",
        )
    seconds = sum(len(files[name]) for name in speech) / BYTES_PER_SECOND
    counts = {"source": origin, "files": len(speech), "seconds": seconds}
    return {"language": language, **voice, **counts}
