import pytest

from groundup.errors import BadInput
from groundup.generation.sampling import CONTINUATION, INFERENCE_PARAMS, MAX_NEW_TOKENS, Sampling


@pytest.mark.parametrize(
    "values",
    [
        *({"temperature": float(value)} for value in ("-1", "nan", "inf", "1e39")),
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_refuses_sampling_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(
        BadInput, match=r"expected temperature from 0 to 1e\+38, top_k >= 0 and 0 < top_p <= 1"
    ):
        Sampling(**values)  # type: ignore[arg-type]


def test_requests_default_to_greedy_answers() -> None:
    asked = dict(INFERENCE_PARAMS)
    assert asked.pop("max_new_tokens") == MAX_NEW_TOKENS
    assert Sampling(**asked) == Sampling() and Sampling().temperature == 0 < CONTINUATION.temperature


def test_a_seed_fits_into_64_bits() -> None:
    assert Sampling(seed=-1).seed == -1
    for seed in (2**63, -(2**63) - 1, 10**30):
        with pytest.raises(BadInput, match="expected an integer of at most 64 bits"):
            Sampling(seed=seed)


@pytest.mark.parametrize(
    ("temperature", "greedy"), [(0.0, True), (1e-46, True), (1e-37, False), (1.0, False)]
)
def test_temperatures_that_float32_cannot_divide_by_are_greedy(temperature: float, greedy: bool) -> None:
    assert Sampling(temperature=temperature).greedy == greedy
