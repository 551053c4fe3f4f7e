"""The exception whose message is for the user of groundup, what it quotes of other errors, and hidden passwords."""

import os
import re
from urllib.parse import unquote

HIDDEN = "***"
SHORTEST = 6  # characters of a secret that is looked for; a shorter one may be part of any word
_SCHEME = r"(?<![\w+.-])(?P<scheme>{}[A-Za-z][\w+.-]{{0,30}})://"
_ADDRESSES = (
    # SQLAlchemy accepts passwords with slashes, https does not
    re.compile(_SCHEME.format("(?!https?:)") + r"(?P<user>[^\s/:@?#'\"`<>]*:[^\s@'\"`<>]*)@"),
    re.compile(_SCHEME.format("") + r"(?P<user>[^\s/?#'\"`<>]*)@"),
)
_QUERY = re.compile(
    r"(?P<name>[?&;][\w-]*(?:password|passwd|secret|token|signature|credential|api_?key)[\w-]*=)[^\s&;#'\"`<>]+",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:.*[_-])?(?:\w*PASSWORD|\w*PASSWD|PASSPHRASE|SECRET|TOKEN|(?:API|ACCESS|SECRET|PRIVATE|SESSION)_?KEY(?:_ID)?"
    r"|APIKEY|AUTH|AUTH_STRING|AUTHORIZATION|CREDENTIALS?)",
    re.IGNORECASE,
)


class BadInput(ValueError):
    """An error that the user can fix; its message is one sentence: what was found, what was expected, what to do.

    Stages and the command line print the message without a traceback and exit with a non-zero status. It is a
    ValueError, so that pydantic collects those raised by the sections of params.yaml and reports all of them at once.
    Passwords in the message are hidden (see `masked`).
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(masked(str(message)))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without passwords, or its type; some libraries' fill pages."""
    lines = re.sub(r"^\(psycopg[\w.]*\) ", "", str(error).strip()).splitlines()
    return masked(lines[0]) if lines else type(error).__name__


def masked(text: str) -> str:
    """Return the text with `***` in place of passwords.

    These are the passwords in addresses, the values of parameters of addresses with names such as `token`, and
    wherever they occur the secrets that environment variables contain (see `secrets`).

    >>> masked("postgresql://anna:hunter2@db/mlflow?sslpassword=x")
    'postgresql://anna:***@db/mlflow?sslpassword=***'
    """
    for secret in secrets():
        text = text.replace(secret, HIDDEN)
    if "://" not in text:
        return text
    for address in _ADDRESSES:
        text = address.sub(_without_password, text)
    return _QUERY.sub(rf"\g<name>{HIDDEN}", text)


def secrets() -> list[str]:
    """Return the secrets in the environment of at least SHORTEST characters, the longest first.

    They are the values of variables with names such as AWS_SECRET_ACCESS_KEY, HF_TOKEN and PGPASSWORD, and the
    passwords in addresses such as MLFLOW_TRACKING_URI, as they are written there and decoded.
    """
    found = set()
    for name, value in os.environ.items():
        if _NAME.fullmatch(name):
            found.add(value.strip())
        addresses = _ADDRESSES if "://" in value else ()
        for address in (one for pattern in addresses for one in pattern.finditer(value)):
            user, colon, password = address["user"].partition(":")
            # in https, a name without a password is a token
            written = password if colon else user if address["scheme"].startswith("http") else ""
            found |= {written, unquote(written)}
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def _without_password(address: re.Match[str]) -> str:
    user, colon, _ = address["user"].partition(":")
    if colon or address["scheme"].lower().startswith("http"):
        user = f"{user}:{HIDDEN}" if colon else HIDDEN
    return f"{address['scheme']}://{user}@"
