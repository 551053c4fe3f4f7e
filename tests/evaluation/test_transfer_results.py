import pytest

from groundup.errors import BadInput
from groundup.evaluation.metrics import seed_interval
from groundup.evaluation.transfer_results import final_loss, table
from tests.evaluation.comparison import SYSTEMS

STEPS = {100: 60, 400: 75}


def scores() -> dict[str, dict[int, list[float]]]:
    found = {name: {100: [0.5, 0.6, 0.7], 400: [0.8, 0.8, 0.8]} for name in SYSTEMS}
    found["masked"] = {100: [0.6, 0.7, 0.81], 400: [0.8, 0.81, 0.79]}
    return found


def losses() -> dict[str, dict[int, list[float]]]:
    return {name: {100: [0.1, 0.2, 0.3], 400: [0.01, 0.0, 0.08]} for name in ("masked", "masked_random")}


def test_differences_are_taken_seed_by_seed() -> None:
    found = table(scores(), losses(), STEPS, 0.95)
    assert found["f1"]["masked"]["100"] == seed_interval([0.6, 0.7, 0.81], 0.95)
    gain = found["gain"]["masked"]["100"]
    assert gain == seed_interval([0.1, 0.1, 0.11], 0.95)
    # although the seeds differ by much more than the gain from pretraining
    assert gain["low"] > 0
    assert found["f1"]["masked"]["100"]["low"] < found["f1"]["masked_random"]["100"]["high"]
    assert found["gain"]["causal"]["400"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert found["lead"]["100"] == gain
    assert (found["seeds"], found["confidence"]) == (3, 0.95)
    assert found["per_seed"]["masked"]["400"] == [0.8, 0.81, 0.79]


def test_intervals_of_f1_stay_between_0_and_1() -> None:
    wide = scores()
    wide["masked"] = {100: [0.0, 0.1, 0.3], 400: [1.0, 0.9, 0.8]}
    found = table(wide, losses(), STEPS, 0.95)["f1"]["masked"]
    assert (found["100"]["low"], found["400"]["high"]) == (0.0, 1.0)
    assert 0 < found["100"]["high"] < 1 and 0 < found["400"]["low"] < 0.9


def test_one_seed_is_not_enough() -> None:
    with pytest.raises(BadInput, match="at least 2"):
        table({name: {100: [0.5]} for name in SYSTEMS}, {}, {100: 60}, 0.95)


def test_a_loss_is_not_below_0_and_may_be_above_1() -> None:
    high = losses() | {"masked": {100: [1.0, 1.5, 2.0], 400: [0.01, 0.0, 0.08]}}
    found = table(scores(), high, STEPS, 0.95)
    assert found["loss"]["masked"]["100"] == seed_interval([1.0, 1.5, 2.0], 0.95)
    assert found["loss"]["masked"]["400"]["low"] == 0.0
    assert found["loss"].keys() == {"masked", "masked_random"}  # the baselines have no loss
    assert found["steps"] == {"100": 60, "400": 75}


def test_the_final_loss_is_the_mean_of_the_last_ten_steps() -> None:
    history = [{"train/loss": 100.0}, *({"train/loss": float(n)} for n in range(10))]
    assert final_loss(history) == 4.5
    assert final_loss(history[-2:]) == 8.5
