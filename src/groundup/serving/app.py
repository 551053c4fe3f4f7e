"""The application: routes and the guard in front of them, over models that are already loaded."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Literal

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from openai.types import Model as ModelFacts
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from groundup.errors import BadInput
from groundup.serving import chat, classification, completions, tokenizing
from groundup.serving.answers import ERRORS
from groundup.serving.config import ServerConfig
from groundup.serving.errors import handle, shutting_down
from groundup.serving.guard import Guard, Traffic
from groundup.serving.metrics import Metrics
from groundup.serving.models import Model, Models
from groundup.serving.page import files, insides, tasks, texts, votes
from groundup.serving.page.study import Study

PAGE = (files.router, texts.router, insides.router, tasks.router, votes.router)
ROUTERS = (completions.router, chat.router, classification.router, tokenizing.router, *PAGE)
router = APIRouter(responses=ERRORS)


class ModelList(BaseModel):
    """The models that the server has loaded."""

    object: Literal["list"]
    data: list[ModelFacts]


@router.get("/v1/models")
async def list_models(request: Request) -> ModelList:
    """List the models."""
    return ModelList(object="list", data=[_facts(model) for model in request.app.state.models])


@router.get("/v1/models/{name:path}")
async def show_model(request: Request, name: str) -> ModelFacts:
    """Return the facts about one model."""
    return _facts(request.app.state.models.named(name))


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the server runs."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> dict[str, str]:
    """Say whether the server takes requests."""
    if request.app.state.traffic.is_draining:
        raise shutting_down()
    return {"status": "ok"}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return metrics in Prometheus's text format."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def make_app(
    models: Models, config: ServerConfig, background: Iterable[AbstractAsyncContextManager[object]] = ()
) -> FastAPI:
    """Make the application.

    Its state has `models`, `config`, `metrics`, `traffic` and `study`. A route chooses a model by `models.named(name)`;
    what it raises as BadInput or ApiError becomes an answer in OpenAI's form.

    Args:
        models: the models; the application starts and closes them.
        config: the settings.
        background: what else runs as long as the application.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for model in models:
            model.start()
        try:
            async with AsyncExitStack() as stack:
                for other in background:
                    await stack.enter_async_context(other)
                yield
        finally:
            for model in models:
                model.close()

    app = FastAPI(title="groundup", docs_url=None, redoc_url=None, lifespan=lifespan)
    state = app.state
    state.models, state.config, state.metrics, state.traffic = models, config, Metrics(models), Traffic()
    state.study = Study(config.study)
    for kind in (BadInput, HTTPException, StarletteHTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)
    for each in (*ROUTERS, router):
        app.include_router(each)
    app.add_middleware(Guard, config=config, traffic=state.traffic, metrics=state.metrics)
    return app


def _facts(model: Model) -> ModelFacts:
    return ModelFacts(id=model.name, object="model", created=model.created, owned_by="groundup")
