"""The application: OpenAI's protocol under /v1, over models that are already loaded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from openai.types import Model as ModelFacts
from starlette.exceptions import HTTPException as StarletteHTTPException

from groundup.errors import BadInput
from groundup.serving import chat, completions
from groundup.serving.config import ServerConfig
from groundup.serving.errors import handle
from groundup.serving.models import Models


def make_app(models: Models, config: ServerConfig) -> FastAPI:
    """Make the application.

    Its state has `models` and `config`. A route chooses a model by `request.app.state.models.named(name)`; what it
    raises as BadInput or ApiError becomes an answer in OpenAI's form.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for model in models:
            model.start()
        yield
        for model in models:
            model.close()

    app = FastAPI(title="groundup", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.models, app.state.config = models, config
    for kind in (BadInput, HTTPException, StarletteHTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)
    for room in (completions, chat):
        app.include_router(room.router)

    @app.get("/v1/models")
    async def list_models() -> dict[str, object]:
        """List the models."""
        return {"object": "list", "data": [_facts(model) for model in models]}

    @app.get("/v1/models/{name:path}")
    async def show_model(request: Request, name: str) -> ModelFacts:
        """Return the facts about one model."""
        return _facts(models.named(name))

    return app


def _facts(model: object) -> ModelFacts:
    return ModelFacts(id=model.name, object="model", created=model.created, owned_by="groundup")
