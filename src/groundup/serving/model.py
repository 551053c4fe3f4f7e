"""The project's models behind MLflow's predict interface: a list of texts in, answers out.

The folder of a registered model has a copy of this file, the package's source and the checkpoint (the weights or a
pointer to them). MLflow runs the copy to get its model ("models from code"), so nothing is pickled.
"""

import os
from pathlib import Path
from typing import Any

import mlflow
import pydantic

from groundup.generation.sampling import CONTINUATION_PARAMS, INFERENCE_PARAMS, Sampling
from groundup.text.labels import label_of
from groundup.tracking.pointers import ROOT_VARIABLE, complete


class Judgement(pydantic.BaseModel):
    """The answer to one message: one item of `predictions` in the response over HTTP."""

    label: str  # "ham" or "spam"
    spam_probability: float


class _Served(mlflow.pyfunc.PythonModel):
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


class ServedClassifier(_Served):
    """Classifies messages as ham or spam."""

    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[Judgement]:
        """Return one judgement per message, in order."""
        from groundup.tasks.classification import spam_probabilities

        probabilities = spam_probabilities(self.checkpoint, model_input)
        return [Judgement(label=label_of(p), spam_probability=p) for p in probabilities]


class ServedInstructions(_Served):
    """Answers instructions. If an instruction has an input, a blank line separates them."""

    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:
        """Return one response per instruction, in order; `params` override those in INFERENCE_PARAMS."""
        from groundup.tasks.instructions import respond

        requests = [(head, tail) for head, _, tail in (text.partition("\n\n") for text in model_input)]
        chosen = INFERENCE_PARAMS | (params or {})
        max_new_tokens = int(chosen.pop("max_new_tokens"))
        return respond(self.checkpoint, requests, max_new_tokens=max_new_tokens, sampling=Sampling(**chosen))


class ServedContinuation(_Served):
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
