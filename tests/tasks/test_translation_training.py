import pytest

from groundup.tasks.translation import translate
from groundup.tasks.translation_training import sample_translations, training_seconds
from tests.tasks.test_translation import random_checkpoint
from tests.tiny_translation import PAIRS


def test_seconds_of_a_resumed_run_cover_all_tokens() -> None:
    history = [{"tokens_seen": seen} for seen in (100.0, 300.0, 600.0, 1000.0)]
    assert training_seconds(history, [10.0, 20.0, 30.0, 40.0]) == pytest.approx(10 + 10 + 10 + 10)
    # 700 tokens in 20 s, and the 300 before the interruption at the same speed
    assert training_seconds(history, [30.0, 40.0]) == pytest.approx(20 * 1000 / 700)


def test_samples_show_each_source_above_its_translation() -> None:
    model, sources = random_checkpoint(), [pair["source"] for pair in PAIRS[:2]]
    first, second = translate(model, sources, beam_size=1, length_penalty=0.0)
    expected = f"{sources[0]}\n{first}\n---\n{sources[1]}\n{second}"
    assert sample_translations(model, PAIRS[:2]) == expected
