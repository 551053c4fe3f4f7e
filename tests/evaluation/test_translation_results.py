from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sacrebleu import corpus_bleu, corpus_chrf
from sacrebleu.significance import PairedTest

from groundup.evaluation import translation_results
from tests.tiny_translation import EVALUATE

WORDS = "and the king said to his men go up into the town for there is bread and water in it".split()


def sentences(seed: int, spoil: float) -> list[str]:
    """Sixty sentences with a share of the words replaced; the seed chooses which words."""
    rng, noise = np.random.default_rng(0), np.random.default_rng(seed)
    texts = [[WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(6, 14))] for _ in range(60)]
    return [" ".join("xyz" if noise.random() < spoil else word for word in text) for text in texts]


REFERENCES = sentences(0, 0.0)
SYSTEMS = {
    "copy": sentences(1, 0.6),
    "word_table": sentences(2, 0.3),
    "model_greedy": sentences(3, 0.29),
    "model": sentences(4, 0.1),
}


@pytest.fixture(scope="module")
def table() -> dict:
    return translation_results.scores(SYSTEMS, REFERENCES, samples=200)


def test_scores_are_those_of_sacrebleu(table: dict) -> None:
    for name, texts in SYSTEMS.items():
        entry = table["systems"][name]
        assert entry["BLEU"]["score"] == pytest.approx(corpus_bleu(texts, [REFERENCES]).score, abs=1e-3)
        assert entry["chrF2"]["score"] == pytest.approx(corpus_chrf(texts, [REFERENCES]).score, abs=1e-3)
        for one in entry.values():
            assert one["low"] < one["mean"] < one["high"]
    assert list(table["systems"]) == list(SYSTEMS)
    assert table["sentences"] == 60
    assert "bs:200" in table["signatures"]["chrF2"].replace("|", " ").replace("nrefs", "")


def test_significance(table: dict) -> None:
    assert translation_results.verdict(table, "copy", "chrF2") == "higher"
    assert translation_results.verdict(table, "word_table", "BLEU") == "higher"
    assert table["systems"]["model"]["chrF2"]["p"] is None
    equal = translation_results.scores(SYSTEMS | {"copy": SYSTEMS["model"]}, REFERENCES, samples=50)
    # sacreBLEU's p is small for equal systems, because it counts resamples above a difference of 0
    assert equal["systems"]["copy"]["BLEU"]["p"] < translation_results.SIGNIFICANT
    assert translation_results.verdict(equal, "copy", "BLEU") == "open"
    assert translation_results.verdict(equal, "word_table", "chrF2") == "higher"


class MeanNumber:
    """A metric for sacreBLEU that reads every text as a number and scores a corpus by the mean."""

    def _extract_corpus_statistics(self, texts: list[str], references: object) -> list[list[float]]:
        return [[float(text), 1.0] for text in texts]

    def _compute_score_from_stats(self, stats: Any) -> SimpleNamespace:
        return SimpleNamespace(name="mean", score=stats[0] / stats[1])

    def _aggregate_and_compute(self, stats: list[list[float]]) -> SimpleNamespace:
        return self._compute_score_from_stats(np.sum(stats, axis=0))

    def get_signature(self) -> SimpleNamespace:
        return SimpleNamespace(update=lambda name, value: None)


@pytest.mark.parametrize(("standard_errors", "significant"), [(1.7, False), (2.2, True)])
def test_significant_is_about_two_standard_errors(standard_errors: float, significant: bool) -> None:
    """For a normal difference the two-sided 5% level is at 1.96 standard errors, the one-sided at 1.64."""
    differences = np.random.default_rng(0).normal(size=400)
    differences -= differences.mean()
    differences += standard_errors * differences.std() / 20
    systems = [("model", ["0"] * 400), ("baseline", [str(number) for number in differences])]
    metrics: Any = {"mean": MeanNumber()}
    _, found = PairedTest(systems, metrics, None, test_type="bs", n_samples=4000)()
    result: Any = found["mean"][1]
    assert (result.p_value < translation_results.SIGNIFICANT) == significant
    assert result.p_value < 0.05


def test_the_verdict_on_a_model_that_loses(table: dict) -> None:
    worse = translation_results.scores(SYSTEMS | {"model": sentences(5, 0.8)}, REFERENCES, samples=50)
    assert translation_results.verdict(worse, "copy", "chrF2") == "lower"


def test_verses_with_maps_are_short_ones() -> None:
    verses = [{"id": f"{number:08d}", "model": "and " * number} for number in range(1, 21)]
    config = replace(EVALUATE, samples=8, alignments=3, alignment_words=(5, 12))
    samples, aligned = translation_results.draw(verses, config)
    assert len({verse["id"] for verse in samples}) == 8 and len({verse["id"] for verse in aligned}) == 3
    assert all(5 <= int(verse["id"]) <= 12 for verse in aligned)
    assert translation_results.draw(verses, config) == (samples, aligned)
    assert translation_results.draw(verses, replace(config, seed=2)) != (samples, aligned)
    assert len(translation_results.draw(verses, replace(config, alignment_words=(1, 2)))[1]) == 2


def test_every_source_with_its_translations() -> None:
    verses = [{"id": "01001001", "source": "thou art", "target": "you are"}]
    systems = {"copy": ["thou art"], "word_table": ["you art"], "model": ["you are"]}
    expected = {**verses[0], "word_table": "you art", "model": "you are"}
    assert translation_results.with_translations(verses, systems) == [expected]
