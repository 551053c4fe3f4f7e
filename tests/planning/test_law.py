from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundup.planning.fitting import fit_law, read_runs, write_runs
from groundup.planning.law import PRIORS, bits_of, load_law, nats_per_token, schedule, write_law
from tests.pipelines.prepared import PRETRAIN
from tests.planning.shapes import GAP, KNOWN, imagined, recorded
from tests.tiny import ADAMW, model_params, training_config


def test_the_fit_finds_the_law_behind_the_runs() -> None:
    law = fit_law([recorded(seed, noise=0.004) for seed in range(60)], "muon")
    unseen = [imagined(seed)[2] for seed in range(100, 120)]
    for shape in unseen:
        expected, low, high = law.bits(shape)
        truth = bits_of(KNOWN, shape)
        assert expected == pytest.approx(truth, rel=0.03)
        assert low < truth < high
    assert law.gap == pytest.approx(GAP, abs=0.01)
    assert law.runs == 60


def test_few_runs_give_a_wide_interval() -> None:
    shape = imagined(100)[2]
    widths = []
    for runs in (5, 60):
        _, low, high = fit_law([recorded(seed, noise=0.004) for seed in range(runs)], "muon").bits(shape)
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_more_of_everything_helps_and_what_was_not_recorded_is_named() -> None:
    law = fit_law([recorded(seed) for seed in range(40)], "muon")
    shape = imagined(100)[2]
    bits = law.bits(shape)[0]
    assert law.bits(replace(shape, full_steps=2 * shape.full_steps))[0] < bits
    assert law.bits(replace(shape, difficulty=1.5 * shape.difficulty))[0] > bits
    assert law.outside(shape) == []
    assert law.outside(replace(shape, vocab_size=50_257, layers=12)) == ["layers 12", "vocab_size 50257"]
    wide = law.bits(replace(shape, layers=12, trunk=12 * shape.trunk, vocab_size=50_257))
    assert (wide[2] - wide[1]) / wide[0] > (law.bits(shape)[2] - law.bits(shape)[1]) / bits


def test_text_that_repeats_is_worth_less() -> None:
    shape = replace(imagined(100)[2], train_bytes=1e9)
    read = shape.steps * shape.step_bytes
    law_without_t = KNOWN.copy()
    law_without_t[list(PRIORS).index("t")] = -50.0
    texts = [replace(shape, train_bytes=read / passes) for passes in (0.5, 1, 2, 4)]
    repeated = [bits_of(law_without_t, text) for text in texts]
    assert repeated[0] == repeated[1] < repeated[2] < repeated[3]
    shorter = [bits_of(KNOWN, text) for text in texts]
    assert shorter[0] < shorter[1] < shorter[2] < shorter[3]


def test_runs_that_read_the_text_many_times_are_left_out() -> None:
    runs = [recorded(seed) for seed in range(30)]
    memorised = replace(runs[0], shape=replace(runs[0].shape, train_bytes=1e3), bits=9.0)
    assert fit_law([*runs, memorised], "muon") == fit_law(runs, "muon")


def test_the_curve_ends_where_the_law_says() -> None:
    law = fit_law([recorded(seed) for seed in range(40)], "muon")
    _, training, shape = imagined(100)
    expected = law.curve(shape, training)
    low, high = expected(shape.steps)
    final = nats_per_token(law.bits(shape)[0], shape)
    assert low < final < high
    assert np.sqrt(low * high) == pytest.approx(final, rel=0.001)  # the learning rate has fallen to nearly 0
    middles = [sum(expected(step)) / 2 for step in range(shape.steps // 5, shape.steps, shape.steps // 10)]
    assert middles == sorted(middles, reverse=True)
    assert expected(1)[1] <= np.log(shape.vocab_size)


def test_full_steps_are_the_sum_of_the_rates() -> None:
    training = training_config(
        max_steps=100, optimizer=replace(ADAMW, warmup_steps=10)
    )  # decay over half of it
    assert sum(schedule(training)) == pytest.approx(0.5 * 10 + 40 + 0.5 * 50)
    constant = training_config(max_steps=100, optimizer=replace(ADAMW, warmup_steps=0, decay=None))
    assert schedule(constant) == [1.0] * 100


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    runs = [recorded(seed) for seed in range(8)]
    write_runs(runs, tmp_path / "runs.jsonl")
    assert read_runs(tmp_path / "runs.jsonl") == runs
    law = fit_law(runs, "muon")
    write_law(law, tmp_path / "law.json")
    assert load_law(tmp_path / "law.json") == law


def test_the_law_of_the_package_is_that_of_the_recorded_runs() -> None:
    """After a new recording, `python -m tests.benchmarks.loss_law --minutes 0` writes the law again."""
    root = Path(__file__).parents[2]
    recorded_runs = read_runs(root / "reports/benchmarks/loss_law.jsonl")
    law, packaged = fit_law(recorded_runs, load_law().optimizer), load_law()
    shape = imagined(100)[2]
    assert law.bits(shape) == pytest.approx(packaged.bits(shape), rel=1e-3)


def test_a_trunk_has_the_parameters_of_its_blocks() -> None:
    from groundup.nn.decoder import Decoder
    from groundup.planning.law import Shape

    for changes in ({}, {"preset": "llama", "n_kv_head": 1}, {"n_layer": 3}):
        model = model_params(**changes)
        decoder = Decoder(model.config(50))
        matrices = sum(p.numel() for p in decoder.h.parameters() if p.dim() == 2)
        assert Shape.of(model, PRETRAIN, 50, 3.0, 1e6, 2.0).trunk == matrices
