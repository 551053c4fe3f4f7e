"""The project's models behind MLflow's interfaces: texts in, answers out.

The folder of a registered model has a copy of this file, the package's source and the checkpoint (the weights or a
pointer to them). MLflow runs the copy to get its model ("models from code"), so nothing is pickled.
"""

import inspect
import os
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import mlflow
import pydantic
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

from groundup.errors import BadInput
from groundup.generation.sampling import CONTINUATION_PARAMS, INFERENCE_PARAMS, Sampling
from groundup.text.labels import label_of
from groundup.tracking.pointers import ROOT_VARIABLE, complete


class Judgement(pydantic.BaseModel):
    """The answer to one message: one item of `predictions` in the response over HTTP."""

    label: str  # "ham" or "spam"
    spam_probability: float


class _Checkpoint:
    """The checkpoint of a served model."""

    checkpoint: Any

    def load_context(self, context: Any) -> None:
        from groundup.checkpoint import load_checkpoint

        stored = Path(context.artifacts["checkpoint"])
        # for adapters, the folder of their base model
        [pointer] = (context.model_config or {}).get("base") or [None]
        base = None if pointer is None else _find_base(Path(pointer), stored)
        with complete(stored) as folder:
            self.checkpoint = load_checkpoint(folder, base=base)


def _find_base(pointer: Path, model: Path) -> Path:
    """Return the folder of a base model, whose path in the project is `pointer`.

    It is looked for in GROUNDUP_ROOT, above the stored model, and in and above the working folder. If it is in none of
    them, the first place is returned, and loading fails.
    """
    given = Path(os.environ.get(ROOT_VARIABLE) or Path.cwd())
    roots = (given, *model.resolve().parents, Path.cwd(), *Path.cwd().parents)
    return next((root / pointer for root in roots if (root / pointer).is_dir()), given / pointer)


class ServedClassifier(_Checkpoint, mlflow.pyfunc.PythonModel):
    """Classifies messages as ham or spam."""

    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[Judgement]:
        """Return one judgement per message, in order."""
        from groundup.tasks.classification import spam_probabilities

        probabilities = spam_probabilities(self.checkpoint, model_input)
        return [Judgement(label=label_of(p), spam_probability=p) for p in probabilities]


class ServedInstructions(_Checkpoint, mlflow.pyfunc.ResponsesAgent):
    """Answers conversations, with MLflow's interface for agents, which is that of OpenAI's responses.

    A request may also set max_output_tokens, temperature and top_p, and in custom_inputs top_k and seed.
    """

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        """Return the answer to the last message."""
        events = self.predict_stream(request)
        return ResponsesAgentResponse(
            output=[event.item for event in events if event.type == "response.output_item.done"]
        )

    def predict_stream(
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """Yield the answer to the last message piece by piece, and at last as a whole."""
        from groundup.generation.decoding import stream_text

        given = {
            "max_new_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
        }
        chosen = INFERENCE_PARAMS | {name: value for name, value in given.items() if value is not None}
        more = request.custom_inputs or {}
        if more.keys() - {"top_k", "seed"} or not all(type(value) is int for value in more.values()):
            raise BadInput(
                f"custom_inputs are {more}; expected only top_k and seed, as whole numbers: correct them."
            )
        chosen |= more
        max_new_tokens = int(chosen.pop("max_new_tokens"))
        checkpoint, item, answer = self.checkpoint, f"msg_{uuid.uuid4().hex}", ""
        for piece in stream_text(
            checkpoint.model,
            checkpoint.tokenizer,
            checkpoint.prompter().dialogue([_message(one.model_dump()) for one in request.input]),
            max_new_tokens=max_new_tokens,
            sampling=Sampling(**chosen),
            stop_ids=checkpoint.answer_ends,
        ):
            piece = piece if answer else piece.lstrip()
            if piece:
                answer += piece
                yield ResponsesAgentStreamEvent(**self.create_text_delta(piece, item))
        output = self.create_text_output_item(answer, item)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=output)


for _name in ("predict", "predict_stream"):  # MLflow would keep the conversations in its store, as traces
    setattr(ServedInstructions, _name, inspect.unwrap(getattr(ServedInstructions, _name)))


def _message(item: dict[str, Any]) -> dict[str, str]:
    """Return the role and the text of an item of a conversation.

    Raises:
        BadInput: it is something else than a message of text.
    """
    content = item.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    if "role" not in item or not all(isinstance(part.get("text"), str) for part in parts):
        raise BadInput(
            "the conversation has an item that is not a message of text; expected only such: remove it."
        )
    role = "system" if item["role"] == "developer" else item["role"]
    return {"role": role, "content": "\n".join(part["text"] for part in parts)}


class ServedContinuation(_Checkpoint, mlflow.pyfunc.PythonModel):
    """Continues texts."""

    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:
        """Return each text's continuation, without the text, in order; `params` override CONTINUATION_PARAMS."""
        from groundup.generation.decoding import generate

        tokenizer = self.checkpoint.tokenizer
        prompts = [[*tokenizer.prefix_ids, *ids] for ids in tokenizer.encode_batch(model_input)]
        chosen = CONTINUATION_PARAMS | (params or {})
        max_new_tokens = int(chosen.pop("max_new_tokens"))
        new = generate(
            self.checkpoint.model,
            prompts,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(**chosen),
            stop_ids=self.checkpoint.stop_ids,
        )
        return [tokenizer.decode(ids) for ids in new]


_MODELS = {
    "classifier": ServedClassifier,
    "continuation": ServedContinuation,
    "decoder": ServedInstructions,
}

if __name__ != "groundup.serving.model":  # MLflow is running a copy of this file to get the model
    mlflow.models.set_model(_MODELS[mlflow.models.ModelConfig().get("kind")]())
