"""Which codec stands behind a name of the configuration: decided once, with the reason."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from revoice.config import CodecConfig
from revoice.download import DownloadError, download, read_published
from revoice.files import read_json, sha256

log = logging.getLogger(__name__)


class Choice(TypedDict):
    """What choice.json holds; `weights` is the published file, None for WORLD."""

    name: str
    reason: str
    weights: str | None


def choose_codec(
    config: CodecConfig, published: str | Path, folder: str | Path, needed_by: Sequence[str] = ()
) -> Choice:
    """EnCodec where its weights can be had, else what `fallback` says.

    Args:
        published: YAML that says where the weights are and what SHA-256 they have.
        folder: where downloads are kept; weights that are there already are verified and taken.
        needed_by: experiments that start from a model trained on EnCodec's codes, for which no
            other codec can step in.

    Raises DownloadError, which says how to get them by hand, for no weights and no fallback.
    """
    if config.kind == "world":
        return Choice(name="world", reason="as configured", weights=None)
    weights = read_published(config.kind, published)
    path = Path(folder) / Path(weights.url).name
    url = config.url or weights.url
    kept = path.exists()
    try:
        # One more attempt, and no long wait: without a network the answer must come in seconds.
        digest = download(url, path, weights.sha256, attempts=2, timeout=10)
    except DownloadError as error:
        if needed_by and config.fallback:
            raise DownloadError(
                f"{error}\n{config.fallback.upper()} cannot step in: the model that experiment "
                f"{', '.join(needed_by)} starts from was trained on EnCodec's codes."
            ) from error
        if config.fallback is None:
            raise DownloadError(
                f"{error}\nOr set `fallback: world` for this codec, which needs no weights and "
                "sounds worse."
            ) from error
        log.warning("%s\nThe WORLD codec steps in.", error)
        first = str(error).splitlines()[0].rstrip(".")  # it goes on inside sentences
        reason = f"fallback, because the weights of {config.kind} cannot be had: {first}"
        return Choice(name="world", reason=reason, weights=None)
    source = "were there already" if kept else f"came from {url}"
    reason = f"as configured; its weights (sha256 {digest[:8]}) {source}"
    return Choice(name=config.kind, reason=reason, weights=str(path))


def given_codec(path: str | Path) -> Choice:
    """The codec that lies with a model, from its codec.json.

    Raises ValueError where the weights that it names are not there, or are of another version.
    """
    from revoice.codec.files import check_geometry  # torch, which nobody else here needs

    description = read_json(path)
    check_geometry(description, path)
    weights = Path(path).parent / description["weights"]
    if not weights.is_file():
        raise ValueError(f"{path} names {weights.name}, which does not lie beside it")
    if sha256(weights) != description["sha256"]:
        raise ValueError(f"{weights} is not what {path} was written for: its SHA-256 is another")
    return Choice(name=description["name"], reason=f"came with {path}", weights=str(weights))
