"""What may be asked of the server, in the form of OpenAI's interface, and how it says no."""

from collections.abc import Mapping
from typing import Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

# Of each format: what HTTP calls it.
KINDS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
DEFAULT = "default"  # names a model's first voice, for clients that have to name one


class Strict(BaseModel):
    """What is asked for: "1.5" is no number here, and a key that is misspelt is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class VoiceId(Strict):
    """A voice as an object, as OpenAI's clients may name it."""

    id: str


class SpeechRequest(Strict):
    """OpenAI's `CreateSpeechRequest`; `language`, `accent`, `seed` and `stream` are ours."""

    model: str | None = Field(None, description="one of /v1/models; by default the first")
    input: str = Field(min_length=1, description="the text")
    voice: str | VoiceId | None = Field(
        None, description=f"one of /v1/voices; by default, and as {DEFAULT!r}, the first"
    )
    response_format: Literal["mp3", "opus", "ogg", "aac", "flac", "wav", "pcm"] = Field(
        "mp3", description="pcm: 16 bits, little-endian, one channel; opus, ogg: in Ogg"
    )
    speed: float = Field(1.0, ge=0.25, le=4.0, allow_inf_nan=False, description="2: twice as fast")
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="sse: events with parts of the file in base64"
    )
    instructions: str | None = Field(None, description="passed over")
    language: str | None = Field(None, description="of the text, where nothing else tells it")
    accent: str | None = Field(None, description="a language whose accent the text gets")
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="of the random numbers; by default a new one"
    )
    stream: bool = Field(True, description="false: sent when it is whole, and says how long it is")

    @property
    def voice_name(self) -> str | None:
        """The name that is asked for; None: the default."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


class Problem(BaseModel):
    """What went wrong, in words."""

    message: str
    type: str
    param: str | None
    code: str | None


class Failure(BaseModel):
    """OpenAI's form of an error."""

    error: Problem


class Model(BaseModel):
    """A model as OpenAI lists it; `created`: since when it speaks here, seconds of Unix."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[Model]


class SpokenBy(BaseModel):
    """A voice; `text`: what its prompt says, `seconds`: how long that is."""

    id: str
    model: str
    speaker: str
    language: str
    text: str
    seconds: float
    default: bool


class VoiceList(BaseModel):
    """The voices of all models; the first of each is its default."""

    object: Literal["list"]
    data: list[SpokenBy]


class Health(BaseModel):
    """`requests`: that are being served; `pieces`: of their texts, that are asked of the models."""

    status: Literal["ok"]
    version: str
    models: list[str]
    requests: int
    pieces: int


class Refused(Exception):
    """A request that is not answered, with the status that says so."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def response(self) -> JSONResponse:
        """What the client gets; it is valid UTF-8 whatever is quoted."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        told = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": _written(told)}, self.status, self.headers)


def _written(told: Mapping[str, str | None]) -> dict[str, str | None]:
    return {key: each and each.encode("utf-8", "replace").decode() for key, each in told.items()}


# What each of these says in the description of the interface.
REFUSALS = {
    400: "the request, or its text, cannot be understood or spoken",
    401: "the token is missing or wrong",
    403: "the request comes from a page of another site",
    404: "there is no such model",
    408: "the request did not arrive in time",
    413: "the request is too large",
    421: "the server does not go by this name",
    429: "too many are being served: try again later",
    500: "the server has a fault",
    503: "the server is about to end",
    504: "it took too long",
}
