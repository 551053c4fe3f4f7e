"""A language model as judge: it scores answers from 0 to 100.

The rubric is the book's (Raschka 2024, section 7.8). The judge can run on any server with OpenAI's API:
Ollama, llama.cpp, vLLM, or a service. Its score is an opinion and not a measurement, so nothing depends on
it. Each answer is judged several times, which shows how consistent the judge is.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from groundup.errors import BadInput
from groundup.evaluation.config import JudgeConfig

KEY = "GROUNDUP_JUDGE_KEY"  # environment variable with the API key, for a service that needs one
RUBRIC = (
    "Given the instruction `{instruction}`, its input `{input}` and the correct output `{output}`, score the response "
    "`{response}` on a scale from 0 to 100, where 100 is the best score. Respond with the integer number only."
)


def judge(rows: Sequence[Mapping[str, Any]], config: JudgeConfig) -> list[list[int]]:
    """Let the judge score each row (instruction, input, output, response) `config.repeats` times.

    Returns:
        The scores of each row, from 0 to 100.

    Raises:
        BadInput: the server cannot be reached, refuses, or does not answer with an integer from 0 to 100.
    """
    assert config.url is not None
    with requests.Session() as session:
        key = os.environ.get(KEY)
        if key:
            session.headers["Authorization"] = f"Bearer {key}"
        return [[_score(session, row, config) for _ in range(config.repeats)] for row in rows]


def scores_by_model(
    responses: Mapping[str, Sequence[Mapping[str, Any]]], config: JudgeConfig
) -> dict[str, dict[str, float]]:
    """Let the judge score the first unseen tasks (split "test") of each model.

    If the judge fails, the pipeline must not stop, so the failure is printed to stderr.

    Returns:
        {model: {"mean", "apart", "instances"}}: the first two are from `agreement`, the last is the number of
        answers. The result is empty if there is no judge, or if the judge fails at any answer, because
        incomplete scores cannot be compared.
    """
    if config.url is None:
        print("ask_judge.url is null: no answers are judged")
        return {}
    found = {}
    try:
        for name, answered in responses.items():
            rows = [row for row in answered if row["split"] == "test"][: config.instances]
            found[name] = {**agreement(judge(rows, config)), "instances": len(rows)}
    except BadInput as error:
        print(f"warning: the answers have no scores: {error}", file=sys.stderr)
        return {}
    return found


def agreement(scores: Sequence[Sequence[int]]) -> dict[str, float]:
    """Summarise the judge's scores, and how much they agree.

    Returns:
        "mean": the mean score. "apart": the mean absolute difference of two scores of the same answer, 0 if
        each answer has one score.
    """
    apart = [abs(a - b) for repeats in scores for i, a in enumerate(repeats) for b in repeats[:i]]
    every = [score for repeats in scores for score in repeats]
    return {"mean": sum(every) / len(every), "apart": sum(apart) / len(apart) if apart else 0.0}


def _score(session: requests.Session, row: Mapping[str, Any], config: JudgeConfig) -> int:
    question = RUBRIC.format(**{name: row[name] for name in ("instruction", "input", "output", "response")})
    said = _ask(session, question, config)
    found = re.fullmatch(r"(\d{1,3})(\s*/\s*100)?\.?", said.strip())
    if found is None or int(found[1]) > 100:
        raise BadInput(
            f"the judge {config.model} answered {said[:60]!r}; expected an integer from 0 to 100: set ask_judge.model "
            f"to another model."
        )
    return int(found[1])


def _ask(session: requests.Session, question: str, config: JudgeConfig) -> str:
    """Ask the judge's server, up to three times if the connection fails or the server is busy."""
    address = f"{str(config.url).rstrip('/')}/chat/completions"
    asked: dict[str, Any] = {
        "model": config.model,
        "temperature": config.temperature,
        "messages": [{"role": "user", "content": question}],
    }
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(3),
            wait=wait_exponential(max=10),
            retry=retry_if_exception_type((requests.ConnectionError, requests.Timeout, _Busy)),
            reraise=True,
        ):
            with attempt:
                answer = session.post(address, json=asked, timeout=config.timeout_seconds)
                if answer.status_code in (429, 502, 503, 504):
                    raise _Busy(f"status {answer.status_code}")
                answer.raise_for_status()
                return str(answer.json()["choices"][0]["message"]["content"])
    except (requests.RequestException, _Busy, LookupError, TypeError) as error:
        raise BadInput(
            f"the judge at {address} gave no answer ({' '.join(str(error).split())[:200]}): start the server, correct "
            f"ask_judge.url and ask_judge.model, or set the url to null."
        ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


class _Busy(Exception):
    """The judge's server is busy: it asks the client to retry later."""
