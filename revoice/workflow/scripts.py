"""What scripts and rules share: logging to the rule's log file, the way to the library"""

import logging
import os
import sys
import warnings
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
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # to the CPU, for what MPS lacks
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), *([before] if before else [])])
