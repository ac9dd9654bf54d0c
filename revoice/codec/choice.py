"""Which codec a project uses: decided once, with the reason."""

import logging
from pathlib import Path
from typing import TypedDict

from revoice.config import CodecConfig
from revoice.download import DownloadError, download, read_published

log = logging.getLogger(__name__)


class Choice(TypedDict):
    """What choice.json holds; `weights` is the published file, None for WORLD."""

    name: str
    reason: str
    weights: str | None


def choose_codec(config: CodecConfig, published: str | Path, folder: str | Path) -> Choice:
    """EnCodec where its weights can be had, else what `codec.fallback` says.

    Args:
        config: section `codec`.
        published: YAML that says where the weights are and what SHA-256 they have.
        folder: where downloads are kept; weights that are there already are verified and taken.

    Raises:
        DownloadError: no weights and no fallback. The message says how to get them by hand.
    """
    if config.name == "world":
        return Choice(name="world", reason="asked for by codec.name", weights=None)
    weights = read_published(config.name, published)
    path = Path(folder) / Path(weights.url).name
    url = config.url or weights.url
    kept = path.exists()
    try:
        # One more attempt, and no long wait: without a network the answer must come in seconds.
        digest = download(url, path, weights.sha256, attempts=2, timeout=10)
    except DownloadError as error:
        if config.fallback is None:
            raise DownloadError(
                f"{error}\nOr set codec.fallback: world, which needs no weights and sounds worse."
            ) from error
        log.warning("%s\nThe WORLD codec steps in.", error)
        first = str(error).splitlines()[0]
        reason = f"codec.fallback, because the weights of {config.name} cannot be had: {first}"
        return Choice(name="world", reason=reason, weights=None)
    source = "were there already" if kept else f"came from {url}"
    reason = f"asked for by codec.name; its weights (sha256 {digest[:8]}) {source}"
    return Choice(name=config.name, reason=reason, weights=str(path))
