"""Errors in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any

import pydantic
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from openai.types.shared import ErrorObject
from starlette.exceptions import HTTPException as StarletteHTTPException

from groundup.errors import BadInput

log = logging.getLogger(__name__)

LONGEST = 1000  # characters of a message, which may quote the request
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ErrorAnswer(pydantic.BaseModel):
    """The body of every answer that is an error."""

    error: ErrorObject


class ApiError(HTTPException):
    """An error that a client gets as an answer.

    Attributes:
        code: a short name, such as "model_not_found".
        param: the parameter at fault, or None.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.param = code, param


def busy(message: str, code: str, status: int = 429, seconds: int = 1) -> ApiError:
    """Return an error for a request that may be repeated after some seconds."""
    return ApiError(status, message, code=code, headers={"Retry-After": str(seconds)})


def shutting_down() -> ApiError:
    """Return the error for a request that a server which is ending does not answer, or not to its end."""
    return busy("the server is shutting down; repeat the request later", "shutting_down", 503, 5)


def internal() -> ApiError:
    """Return the error for a fault of the server, which says nothing about it; the log has more."""
    return ApiError(500, "the server failed at this request; its log says why", code="internal_error")


def as_api_error(error: Exception) -> ApiError:
    """Translate any exception."""
    match error:
        case ApiError():
            return error
        case RuntimeError(__cause__=HTTPException() | BadInput() as fault):
            return as_api_error(fault)  # Starlette raises it if the answer has begun
        case BadInput():
            return ApiError(400, str(error))
        case RequestValidationError():
            return _invalid(error.errors())
        case StarletteHTTPException(status_code=400):  # FastAPI could not read the body
            return ApiError(400, "the body cannot be read; expected a JSON object in UTF-8")
        case StarletteHTTPException():  # there is no such path or method
            message = f"{error.detail}; GET /openapi.json says what there is"
            return ApiError(error.status_code, message, headers=error.headers)
        case _:
            return internal()


def body_of(error: ApiError) -> bytes:
    """Return the body of an error's answer, as JSON."""
    kind = TYPES.get(
        error.status_code, "server_error" if error.status_code >= 500 else "invalid_request_error"
    )
    message, param = _readable(error.detail), _readable(error.param)
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": error.code}}
    ).encode()


def answer(error: ApiError) -> Response:
    """Return the answer for an error."""
    return Response(body_of(error), error.status_code, error.headers, media_type="application/json")


async def handle(_: Request, error: Exception) -> Response:
    """Answer a request that has failed; the application's handler of exceptions."""
    return answer(as_api_error(error))


def _readable(text: str | None) -> str | None:
    """Shorten a text that may quote the request, and replace what is not Unicode."""
    if text is None:
        return None
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _invalid(problems: Any) -> ApiError:
    """Describe the first problem that pydantic found in a request, without quoting the value."""
    first = problems[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not valid JSON ({first['ctx']['error']}); expected a JSON object")
    if not place:
        return ApiError(
            400, "the body is not a JSON object; expected one, with Content-Type: application/json"
        )
    param = ".".join(place)
    unknown = first["type"] == "extra_forbidden"
    if unknown:
        return ApiError(
            400, f"unknown parameter {param}; leave it out", code="unknown_parameter", param=param
        )
    return ApiError(400, f"{param}: {first['msg']}", code="invalid_value", param=param)


def report(error: BaseException, what: str) -> None:
    """Log the type and the place of an unexpected error, but not its message, which may quote a prompt."""
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s has failed with %s:\n%s", what, type(error).__name__, places)
