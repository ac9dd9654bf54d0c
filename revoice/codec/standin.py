"""What stands in for torchaudio, which encodec and vocos import, while they are imported.

They take helpers from it that read, write and resample files, or compare scales of pitch; nothing
here calls any.
"""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("torchaudio", "torchaudio.functional", "torchaudio.functional.functional")
HELPERS = ("_hz_to_mel", "_mel_to_hz")  # that vocos takes from the last


@contextmanager
def torchaudio_or_nothing() -> Iterator[None]:
    """Within the block torchaudio can be imported: where it is not installed, empty modules."""
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        empty = {name: types.ModuleType(name) for name in NAMES}
        vars(empty[NAMES[-1]]).update(dict.fromkeys(HELPERS))
        sys.modules.update(empty)
        try:
            yield
        finally:
            for name in empty:
                del sys.modules[name]
    else:
        yield
