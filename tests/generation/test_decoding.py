from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.generation.choosing import draw, probabilities
from groundup.generation.decoding import generate, stream
from groundup.generation.sampling import LARGEST_TEMPERATURE, Sampling
from groundup.nn.decoder import Decoder
from tests.tiny import random_decoder

BOLD = Sampling(temperature=1.3, top_k=7, top_p=0.9, seed=5)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [3, 3]]


def naive(model: Decoder, prompt: Sequence[int], n: int, stops: Sequence[int] = ()) -> list[int]:
    """Greedy decoding that reads the whole text again for every token."""
    ids: list[int] = list(prompt)
    while len(ids) - len(prompt) < n and len(ids) <= model.config.context_length:
        with torch.no_grad():
            token = int(model.logits(model(torch.tensor([ids])))[0, -1].argmax())
        if token in stops:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
@pytest.mark.parametrize("stops", [(), (2,), (0, 4, 10)])
def test_greedy_equals_the_naive_loop(preset: str, stops: tuple[int, ...]) -> None:
    for seed in range(3):
        model = random_decoder(preset, seed, context_length=20)
        expected = [naive(model, prompt, 8, stops) for prompt in PROMPTS]
        found = generate(model, PROMPTS, max_new_tokens=8, sampling=Sampling(), stop_ids=stops)
        assert found == expected
        if not stops:
            assert {len(row) for row in found} == {8}


def test_some_rows_stop_while_others_continue() -> None:
    model = random_decoder(seed=1, context_length=20)
    rows = generate(model, PROMPTS, max_new_tokens=8, sampling=BOLD, stop_ids=[2, 4])
    assert len({len(row) for row in rows}) > 1
    assert not {2, 4} & {token for row in rows for token in row}


def test_a_row_is_independent_of_the_others_in_the_batch() -> None:
    model = random_decoder(context_length=20)
    together = generate(model, PROMPTS, max_new_tokens=8, sampling=BOLD, stop_ids=[2])
    again = generate(model, PROMPTS, max_new_tokens=8, sampling=BOLD, stop_ids=[2])
    assert together == again
    for row, prompt in enumerate(PROMPTS):
        own = Sampling(BOLD.temperature, BOLD.top_k, BOLD.top_p, seed=BOLD.seed + row)
        assert generate(model, [prompt], max_new_tokens=8, sampling=own, stop_ids=[2]) == [together[row]]
    other = Sampling(BOLD.temperature, BOLD.top_k, BOLD.top_p, seed=77)
    assert generate(model, PROMPTS, max_new_tokens=8, sampling=other, stop_ids=[2]) != together


def test_equal_prompts_get_different_samples() -> None:
    model = random_decoder(context_length=20)
    rows = generate(model, [[1]] * 6, max_new_tokens=8, sampling=Sampling(temperature=2.0), stop_ids=[])
    assert len({tuple(row) for row in rows}) > 1


LOGITS = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()[None]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=0.0), [1, 0, 0, 0]),
        *((Sampling(temperature=t), [1, 0, 0, 0]) for t in (1e-37, 1e-40, 1e-45, 1e-46, 1e-300, 5e-324)),
        (Sampling(temperature=1.0, top_p=1e-46), [1, 0, 0, 0]),
        (Sampling(temperature=1.0), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(temperature=0.5), [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        (Sampling(temperature=1.0, top_k=2), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(temperature=1.0, top_k=9), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(temperature=1.0, top_p=0.3), [1, 0, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.65), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(temperature=0.5, top_k=3, top_p=0.8), [16 / 25, 9 / 25, 0, 0]),
    ],
)
def test_distributions_by_hand(sampling: Sampling, expected: list[float]) -> None:
    order = torch.tensor([2, 0, 3, 1])  # the result must not depend on the order of the tokens
    for columns in (torch.arange(4), order):
        found = probabilities(LOGITS[:, columns], sampling)[0]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32)[columns])


def test_top_k_keeps_k_of_equally_likely_tokens() -> None:
    assert int((probabilities(torch.zeros(1, 9), Sampling(temperature=1.0, top_k=4)) > 0).sum()) == 4


@pytest.mark.parametrize("spread", [0.3, 3.0, 9.0])  # a nucleus of most tokens, of some, of very few
def test_the_nucleus_of_a_large_vocabulary(spread: float) -> None:
    logits = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1)) * spread
    found = probabilities(logits, Sampling(temperature=1.0, top_p=0.9))
    for probs, row in zip(logits.softmax(dim=-1).tolist(), found, strict=True):
        total, kept = 0.0, []
        for i in sorted(range(5000), key=lambda i: -probs[i]):
            if total >= 0.9:
                break
            kept.append(i)
            total += probs[i]
        expected = torch.zeros(5000)
        expected[kept] = torch.tensor([probs[i] / total for i in kept])
        torch.testing.assert_close(row, expected)


def test_frequencies_of_draws() -> None:
    wanted, n = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0]), 4000
    generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
    counts = torch.bincount(draw(wanted.expand(n, 5), generators), minlength=5)
    real = wanted > 0
    assert int(counts[~real].sum()) == 0
    chi_square = ((counts - n * wanted)[real].square() / (n * wanted)[real]).sum()
    assert float(chi_square) < 9.2  # 1 in 100 with two degrees of freedom; the seeds are fixed


def test_draws_of_a_certain_token() -> None:
    probs = torch.tensor([[0.0, 0.0, 1.0]])
    generators = [torch.Generator().manual_seed(0)]
    assert all(int(draw(probs, generators)) == 2 for _ in range(20))


def test_a_full_context_ends_a_row_and_the_last_token_needs_no_room() -> None:
    model = random_decoder(context_length=8)
    rows = generate(model, [[1, 2, 3], [4]], max_new_tokens=99, sampling=Sampling(), stop_ids=[])
    # nine tokens in all: eight are read, the ninth is only predicted
    assert [len(row) for row in rows] == [6, 8]
    assert rows == [naive(model, [1, 2, 3], 99), naive(model, [4], 99)]


def test_reads_each_token_once() -> None:
    class Counting(Decoder):
        passes: list[int]

        def forward(self, idx: Tensor, cache: object = None) -> Tensor:
            self.passes.append(idx.shape[1])
            return super().forward(idx, cache)  # type: ignore[arg-type]

    model = Counting(random_decoder().config).eval()
    nn.init.normal_(model.lm_head.weight)
    model.passes = []
    generate(model, [[1, 2, 3]], max_new_tokens=4, sampling=Sampling(), stop_ids=[])
    # the prompt, then one token at a time; the fourth one need not be read
    assert model.passes == [3, 1, 1, 1]


def test_streams_token_by_token() -> None:
    model = random_decoder(context_length=20)
    expected = generate(model, PROMPTS, max_new_tokens=5, sampling=BOLD, stop_ids=[2])
    steps = list(stream(model, PROMPTS, max_new_tokens=5, sampling=BOLD, stop_ids=[2]))
    assert [[step[row] for step in steps if row in step] for row in range(4)] == expected


def test_no_prompts_or_no_tokens_give_no_text() -> None:
    model = random_decoder()
    assert generate(model, [], max_new_tokens=5, sampling=Sampling(), stop_ids=[]) == []
    assert generate(model, [[1]], max_new_tokens=0, sampling=Sampling(), stop_ids=[]) == [[]]


def test_refuses_prompts_that_are_empty_or_fill_the_context() -> None:
    model = random_decoder()
    for prompts, words in (([[1], []], "no tokens"), ([[1] * 12], "12 tokens; the model reads at most 12")):
        with pytest.raises(BadInput, match=words):
            generate(model, prompts, max_new_tokens=5, sampling=Sampling(), stop_ids=[])


@pytest.mark.parametrize("temperature", [1e-46, 5e-324])
def test_very_small_temperatures_are_greedy_even_with_ties(temperature: float) -> None:
    model = random_decoder(context_length=20)
    with torch.no_grad():
        model.lm_head.weight[5] = model.lm_head.weight[2] = model.lm_head.weight.sum(dim=0)
    greedy = generate(model, PROMPTS, max_new_tokens=8, sampling=Sampling(), stop_ids=[])
    small = Sampling(temperature=temperature, seed=3)
    assert generate(model, PROMPTS, max_new_tokens=8, sampling=small, stop_ids=[]) == greedy


@pytest.mark.parametrize("sampling", [Sampling(), BOLD, Sampling(temperature=1e-46)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_refuses_scores_that_are_not_finite(sampling: Sampling, value: float) -> None:
    model = random_decoder()
    with torch.no_grad():
        model.lm_head.weight.fill_(value)
    with pytest.raises(BadInput, match="scores that are not finite numbers"):
        generate(model, PROMPTS, max_new_tokens=3, sampling=sampling, stop_ids=[])
    with pytest.raises(BadInput, match="scores that are not finite numbers"):
        probabilities(torch.full((1, 4), value), sampling)


def test_a_masked_token_is_allowed_and_never_drawn() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0]])
    for temperature in (1.0, LARGEST_TEMPERATURE):
        assert float(probabilities(logits, Sampling(temperature=temperature))[0, 1]) == 0
