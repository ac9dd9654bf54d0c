"""How the sums of the default corpus were made: to be run again for another release of it.

Usage: python -m tests.helpers.asterisk_sums LANGUAGE FOLDER > resources/asterisk/LANGUAGE.sha256,
the folder being an unpacked release.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from revoice.corpus.asterisk import SPEECH, SUFFIX, spoken_texts


def format_sums(language: str, files: Mapping[str, bytes]) -> str:
    """The text of `resources/asterisk/{language}.sha256` for an unpacked release."""
    texts = spoken_texts(language, files)
    audio = sorted(name for name in files if name.endswith(SUFFIX))
    sections = {
        SPEECH: [name for name in audio if name.removesuffix(SUFFIX) in texts],
        "not speech, or of uncertain text": [
            name for name in audio if name.removesuffix(SUFFIX) not in texts
        ],
        "transcripts": [f"core-sounds-{language}.txt"],
    }
    lines = []
    for heading, names in sections.items():
        digests = (hashlib.sha256(files[name]).hexdigest() for name in names)
        lines += [f"# {heading}", *map("  ".join, zip(digests, names, strict=True))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    release = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    print(format_sums(sys.argv[1], release), end="")
