"""Speech over HTTP, as OpenAI's clients ask for it: the interface, and a page that uses it."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from revoice import __version__
from revoice.html import rendered
from revoice.speaking.asking import (
    KINDS,
    REFUSALS,
    Failure,
    Health,
    Models,
    Refused,
    SpeechRequest,
    VoiceList,
)
from revoice.speaking.engine import Engine
from revoice.speaking.guard import OPEN, Door, Gate, Limits
from revoice.speaking.service import Service

BINARY = {"schema": {"type": "string", "format": "binary"}}
EVENTS = {"schema": {"type": "object", "properties": {"data": {"type": "string"}}}}
Responses = dict[int | str, dict[str, Any]]


def _refusals(*statuses: int) -> Responses:
    return {status: {"model": Failure, "description": REFUSALS[status]} for status in statuses}


COMMON = _refusals(401, 408, 413, 421, 500, 503, 504)
SPOKEN: Responses = {
    **_refusals(400, 403, 404, 429),
    200: {
        "description": "the file, as it comes to be",
        "content": {**dict.fromkeys(KINDS.values(), BINARY), "text/event-stream": EVENTS},
    },
}


def app(engines: Sequence[Engine], door: Door, limits: Limits) -> FastAPI:
    """The application, which ends the engines when it ends."""
    service = Service(engines, limits)
    page = rendered("speaking", "speak.html.j2", token=door.token is not None, limits=limits)
    policy = _policy(page)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    # no pages of documentation: they take their scripts from other sites
    given: dict[str, Any] = {"docs_url": None, "redoc_url": None, "redirect_slashes": False}
    made = FastAPI(title="revoice", version=__version__, lifespan=living, responses=COMMON, **given)
    made.add_middleware(Gate, door=door, limits=limits)  # type: ignore[arg-type]
    handlers = {Refused: _refused, HTTPException: _other, RequestValidationError: _invalid}
    for kind, handler in {**handlers, Exception: _fault}.items():
        made.add_exception_handler(kind, handler)  # type: ignore[arg-type]

    @made.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> HTMLResponse:
        """A page to speak on."""
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @made.get("/health")
    async def health() -> Health:
        """That it lives, and how much it has to do."""
        return service.health()

    @made.get("/v1/models")
    async def models() -> Models:
        """All models, the default first."""
        return service.models()

    @made.get("/v1/voices")
    async def voices() -> VoiceList:
        """The voices of all models, each one's default first."""
        return service.voices()

    @made.post("/v1/audio/speech", response_class=Response, responses=SPOKEN)
    async def speech(
        asked: SpeechRequest, place: Annotated[ExitStack, Depends(service.place)]
    ) -> Response:
        """Speak a text."""
        return await service.answer(asked, place)

    _describe(made, door, limits)
    return made


def _describe(made: FastAPI, door: Door, limits: Limits) -> None:
    """Say in the description what FastAPI does not know of."""
    told = made.openapi()
    schemas = told["components"]["schemas"]
    schemas["SpeechRequest"]["properties"]["input"]["maxLength"] = limits.longest
    for name in ("HTTPValidationError", "ValidationError"):  # such a request gets 400 here
        schemas.pop(name, None)
    for path, methods in told["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            if door.token is not None and path not in OPEN:
                operation["security"] = [{"token": []}]
    if door.token is not None:
        told["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}


async def _refused(_: Request, error: Refused) -> Response:
    return error.response


async def _other(_: Request, error: HTTPException) -> Response:
    return Refused(error.status_code, str(error.detail), headers=error.headers).response


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    """What is wrong first; nothing that was sent is said again."""
    first = error.errors()[0]
    if first["type"] == "json_invalid" or len(first["loc"]) == 1:  # of the body itself
        told = "Send an object in JSON, as Content-Type: application/json"
        return Refused(400, told, code="no_object").response
    where = ".".join(map(str, first["loc"][1:]))
    return Refused(400, f"{where}: {first['msg']}", where).response


async def _fault(_: Request, error: Exception) -> Response:
    return Refused(500, "The server has a fault, which its log describes").response


def _policy(page: str) -> str:
    """What the page may do: run its own script in its own style, and ask this server."""
    rules = ["default-src 'none'", "connect-src 'self'", "media-src blob:", "img-src data:"]
    rules += [f"{rule} 'none'" for rule in ("base-uri", "form-action", "frame-ancestors")]
    for tag in ("script", "style"):
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()) for part in parts]
        rules.append(" ".join([f"{tag}-src", *(f"'sha256-{each.decode()}'" for each in digests)]))
    return "; ".join(rules)
