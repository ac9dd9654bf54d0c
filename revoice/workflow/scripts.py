"""What scripts and rules share: logging to the rule's log file, digests of code."""

import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from revoice.files import PACKAGE


def script_logging(snakemake: Any) -> None:
    """Send logging, warnings and an uncaught exception to the rule's log file.

    An error's last line also goes to standard error, so that Snakemake shows it.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=[logging.FileHandler(path, mode="w", encoding="utf-8")],
        force=True,
    )
    logging.captureWarnings(True)
    warnings.simplefilter("default")

    def log_exception(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logging.critical("failed", exc_info=(kind, error, trace))
        print(f"{kind.__name__}: {error}\nThe whole story: {path}", file=sys.stderr)

    sys.excepthook = log_exception


def share_library() -> None:
    """Let scripts find this library in whatever environment they run, conda's among them."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), *([before] if before else [])])


def digest_of(*modules: str) -> str:
    """Digest of the source of revoice modules and packages, e.g. `digest_of("revoice.codec")`.

    Rules carry it in `params`, so that an edit of the library reruns what depends on it.
    Raises ModuleNotFoundError for a name that does not exist.
    """
    digest = hashlib.sha256()
    for path in sorted(set(_sources(modules))):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(modules: Iterable[str]) -> Iterable[Path]:
    for module in modules:
        name, *parts = module.split(".")
        folder = PACKAGE.joinpath(*parts)
        if parts and name == "revoice" and folder.with_suffix(".py").is_file():
            yield folder.with_suffix(".py")
        elif name == "revoice" and folder.is_dir():
            yield from (
                path for path in folder.rglob("*") if path.suffix in {".py", ".json", ".j2"}
            )
        else:
            raise ModuleNotFoundError(f"{module} is not a module of revoice", name=module)
