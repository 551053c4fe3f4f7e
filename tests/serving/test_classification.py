"""Classes and vectors by OpenAI's own client; the oracle is the library without a server."""

import numpy as np
import openai
import pytest

from groundup.model import Model
from tests.serving.running import Running

TEXTS = ["tea and cake", "WIN a prize", "", "tea and cake " * 5000]  # the last one is cut


def test_classes_are_those_of_the_library(server: Running) -> None:
    expected = Model(server.model("spam").checkpoint).classify(TEXTS)
    found = server.client.post("/classify", body={"model": "spam", "input": TEXTS}, cast_to=dict)
    assert [one["label"] for one in found["data"]] == [one.label for one in expected]
    for one, other in zip(found["data"], expected, strict=True):
        assert one["probabilities"] == pytest.approx(other.probabilities)
    flags = server.client.moderations.create(model="spam", input=TEXTS).results
    assert [one.flagged for one in flags] == [one.label == "spam" for one in expected]
    assert flags[1].category_scores.spam == pytest.approx(expected[1].probabilities["spam"])
    with pytest.raises(openai.BadRequestError, match="of the kind decoder; expected a classifier"):
        server.client.moderations.create(model="chat", input="tea")


@pytest.mark.parametrize("model", ["chat", "spam"])
def test_vectors_are_those_of_the_library(server: Running, model: str) -> None:
    expected = Model(server.model(model).checkpoint).embed(TEXTS).numpy()
    for form in ({}, {"encoding_format": "float"}):  # the client asks for base64 by itself
        found = server.client.embeddings.create(model=model, input=TEXTS, **form)
        np.testing.assert_allclose([one.embedding for one in found.data], expected, rtol=1e-5)
    assert found.usage.prompt_tokens > 0
