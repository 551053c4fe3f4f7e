"""The files of the page: `/` and `/assets/...`."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from groundup.serving.answers import ERRORS
from groundup.serving.errors import ApiError

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASSETS = {path.name: path for path in sorted((HERE / "assets").iterdir()) if path.suffix in TYPES}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # ask each time whether the file has changed
}
router = APIRouter(responses=ERRORS, include_in_schema=False)


@router.get("/", response_class=FileResponse)
async def page() -> FileResponse:
    """Return the page."""
    return FileResponse(HERE / "index.html", media_type="text/html", headers=HEADERS)


@router.get("/assets/{name}", response_class=Response)
async def asset(name: str) -> FileResponse:
    """Return a file that the page needs."""
    if name not in ASSETS:
        raise ApiError(404, f"the page has no file {name!r}; expected one of {', '.join(ASSETS)}")
    path = ASSETS[name]
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
