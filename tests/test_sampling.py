import pytest

from groundup.errors import BadInput
from groundup.sampling import CONTINUATION, INFERENCE_PARAMS, MAX_NEW_TOKENS, Sampling


@pytest.mark.parametrize(
    "values",
    [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": float("nan")}],
)
def test_sampling_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=r"expected temperature >= 0, top_k >= 0 and 0 < top_p <= 1"):
        Sampling(**values)  # type: ignore[arg-type]


def test_requests_default_to_greedy_answers() -> None:
    asked = dict(INFERENCE_PARAMS)
    assert asked.pop("max_new_tokens") == MAX_NEW_TOKENS
    assert Sampling(**asked) == Sampling() and Sampling().temperature == 0 < CONTINUATION.temperature
