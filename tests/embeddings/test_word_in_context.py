import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from groundup.embeddings.occurrences import unit
from groundup.embeddings.word_in_context import (
    Draws,
    auc_difference,
    best_threshold,
    decide,
    folds_of,
    one_part_of_speech,
    read_pairs,
    score_ranking,
    similarity,
    trained_ranking,
    within_word,
)
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap

FILE = Path(__file__).parents[2] / "data/word_in_context.csv"
PAIRS = read_pairs(FILE)
TRUTH = np.array([int(pair.same) for pair in PAIRS])
BY_WORD = defaultdict(list)
for pair in PAIRS:
    BY_WORD[pair.word].append(pair)
DRAWS = Draws.of(PAIRS, Bootstrap(samples=200, confidence=0.95, seed=1))
FOLD = folds_of(PAIRS, 10)


def test_there_are_enough_pairs_and_words():
    assert len(PAIRS) >= 240 and len(BY_WORD) >= 60
    assert len({pair.id for pair in PAIRS}) == len(PAIRS)
    assert [pair.id for pair in PAIRS] == [f"{w}-{k}" for w in BY_WORD for k in (1, 2, 3, 4)]


def test_the_target_occurs_once_and_never_first():
    for pair in PAIRS:
        for text in (pair.first, pair.second):
            assert re.findall(rf"\b{pair.word}\b", text, re.IGNORECASE) == [pair.word], text
            assert not text.startswith(pair.word)
            assert text.isascii() and text[0].isupper() and text[-1] in ".?!" and text == text.strip()
        assert [place.word for place in pair.places] == [pair.word] * 2


def test_every_word_is_balanced_and_no_sentence_reveals_the_answer():
    for word, pairs in BY_WORD.items():
        assert Counter(pair.same for pair in pairs) == {True: 2, False: 2}, word
        used = Counter((text, pair.same) for pair in pairs for text in (pair.first, pair.second))
        assert len(used) == 8 and set(used.values()) == {1}, (
            word
        )  # four sentences, each once in a pair of either kind
        assert len({p.first for p in pairs}) == len({p.second for p in pairs}) == 4, word  # once on each side
        orders = [(pair.sense1, pair.sense2) for pair in pairs if not pair.same]
        assert orders[0] == orders[1][::-1], word  # the senses swap sides
    sentences = Counter(text for pair in PAIRS for text in {pair.first, pair.second})
    assert set(sentences.values()) == {2}  # no other word uses a sentence


def test_each_sentence_has_one_sense_and_each_word_two():
    for word, pairs in BY_WORD.items():
        senses = {(p.first, p.sense1) for p in pairs} | {(p.second, p.sense2) for p in pairs}
        assert len(senses) == 4, word
        assert sorted(Counter(sense for _, sense in senses).values()) == [2, 2], word
        for pair in pairs:
            assert pair.same == (pair.sense1 == pair.sense2), pair.id
            for sense in (pair.sense1, pair.sense2):
                kind, meaning = sense.split(": ")
                assert kind in {"noun", "verb", "adjective", "adverb", "preposition", "pronoun"} and meaning


def test_words_of_one_part_of_speech():
    single = dict(zip((pair.word for pair in PAIRS), one_part_of_speech(PAIRS), strict=True))
    assert single["bank"] and single["lie"] and not single["can"] and not single["fall"]


def one_hot(key_of):
    """One vector per sentence of each pair, with one direction per key."""
    keys = [key_of(pair, side) for pair in PAIRS for side in (0, 1)]
    _, number = np.unique(keys, return_inverse=True)
    vectors = np.eye(number.max() + 1)[number]
    return vectors[0::2], vectors[1::2]


def test_a_layer_that_separates_the_senses_is_perfect():
    first, second = one_hot(lambda pair, side: f"{pair.word} {pair.sense2 if side else pair.sense1}")
    ranking = similarity(first, second)
    scores = score_ranking(PAIRS, ranking, decide(ranking, TRUTH, FOLD), DRAWS)
    assert all(entry == {"mean": 1, "low": 1, "high": 1} for entry in scores.values())


def test_one_vector_per_word_scores_at_chance():
    generator = np.random.default_rng(0)
    of_word = {word: generator.normal(size=7) for word in BY_WORD}
    same = np.array([of_word[pair.word] for pair in PAIRS])
    cosine, trained = similarity(same, same * 3), trained_ranking(same, same, TRUTH, FOLD, 0.01)
    for ranking, decisions in ((cosine, decide(cosine, TRUTH, FOLD)), (trained, trained >= 0)):
        scores = score_ranking(PAIRS, ranking, decisions, DRAWS)
        for name in scores.keys() - {"accuracy"}:
            assert scores[name] == {"mean": 0.5, "low": 0.5, "high": 0.5}, name
        assert scores["accuracy"]["mean"] == 0.5


def test_scores_against_scikit_learn():
    ranking = np.random.default_rng(2).normal(size=len(PAIRS)) + 0.4 * TRUTH
    decisions, single = decide(ranking, TRUTH, FOLD), one_part_of_speech(PAIRS)
    scores = score_ranking(PAIRS, ranking, decisions, DRAWS)
    for name, part in {
        "auc": single | True,
        "auc_one_part_of_speech": single,
        "auc_two_parts_of_speech": ~single,
    }.items():
        assert scores[name]["mean"] == pytest.approx(roc_auc_score(TRUTH[part], ranking[part]), abs=1e-6)
        assert scores[name]["low"] < scores[name]["mean"] < scores[name]["high"]
    assert scores["accuracy"]["mean"] == pytest.approx(accuracy_score(TRUTH, decisions), abs=1e-6)


def test_within_a_word_by_hand():
    pairs = BY_WORD["bank"] + BY_WORD["can"]
    same, different = [0.5, 0.9], [0.5, 0.7]  # the four comparisons: tie, lost, won, won
    ranking = np.array([same.pop(0) if p.same else different.pop(0) for p in pairs[:4]] + [1.0] * 4)
    np.testing.assert_allclose(within_word(pairs, ranking), [2.5 / 4] * 4 + [0.5] * 4)


def test_the_threshold_has_the_highest_accuracy():
    generator = np.random.default_rng(3)
    for _ in range(20):
        truth = generator.integers(0, 2, 15)
        ranking = generator.integers(0, 6, 15) + truth
        best = max(np.mean((ranking >= t) == truth) for t in np.arange(-1, 9, 0.5))
        assert np.mean((ranking >= best_threshold(ranking, truth)) == truth) == best


def test_decisions_use_only_other_words():
    ranking, fold = TRUTH.astype(float), np.arange(len(TRUTH)) % 2
    flipped = np.where(fold == 1, -ranking, ranking)  # fold 1 has the opposite ranking
    assert accuracy_score(TRUTH[fold == 0], decide(flipped, TRUTH, fold)[fold == 0]) < 0.6
    assert all(len(set(FOLD[[p.word == word for p in PAIRS]])) == 1 for word in BY_WORD)
    assert set(FOLD) == set(range(10))


def test_a_trained_probe_is_cross_validated_and_never_sees_the_answers_of_its_fold():
    first, second = np.random.default_rng(5).normal(size=(2, len(PAIRS), 6))
    trained = trained_ranking(first, second, TRUTH, FOLD, 0.1)
    for number in set(FOLD):
        turned = np.where(number == FOLD, 1 - TRUTH, TRUTH)
        again = trained_ranking(first, second, turned, FOLD, 0.1)
        np.testing.assert_array_equal(again[number == FOLD], trained[number == FOLD])
    u, v = unit(first), unit(second)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    predicted = cross_val_predict(
        probe, np.concatenate((np.abs(u - v), u * v), axis=1), TRUTH, cv=PredefinedSplit(FOLD)
    )
    np.testing.assert_array_equal(trained >= 0, predicted)  # its own threshold, as in scikit-learn


def test_a_trained_probe_finds_what_the_cosine_does_not():
    """The sense is the sign of one channel; nine channels of larger values are noise."""
    generator = np.random.default_rng(4)
    sense = {(p.word, s): n % 2 for p in PAIRS for n, s in enumerate(sorted({p.sense1, p.sense2}))} | {
        (word, sense): number
        for word, pairs in BY_WORD.items()
        for number, sense in enumerate(sorted({s for p in pairs for s in (p.sense1, p.sense2)}))
    }
    signs = np.array([[sense[p.word, p.sense1], sense[p.word, p.sense2]] for p in PAIRS]) * 2.0 - 1
    vectors = generator.normal(size=(2, len(PAIRS), 10))
    vectors[:, :, 0] = signs.T
    first, second = vectors
    trained = trained_ranking(first, second, TRUTH, FOLD, 0.1)
    assert roc_auc_score(TRUTH, trained) > 0.9 > 0.75 > roc_auc_score(TRUTH, similarity(first, second))


def test_resamples_contain_whole_words():
    words = np.array([pair.word for pair in PAIRS])
    for word in ("bank", "can"):
        assert np.ptp(DRAWS.weights[:, words == word], axis=1).max() == 0
    assert (DRAWS.weights.sum(axis=1) == len(PAIRS)).all()
    np.testing.assert_array_equal(Draws.of(PAIRS, DRAWS.bootstrap).weights, DRAWS.weights)
    np.testing.assert_array_equal(
        Draws.of([replace(p) for p in PAIRS], DRAWS.bootstrap).weights, DRAWS.weights
    )


def test_auc_differences_of_equal_and_of_perfect_and_random_rankings():
    chance = np.zeros(len(PAIRS))
    assert auc_difference(PAIRS, chance, chance, DRAWS) == {
        "mean": 0,
        "low": 0,
        "high": 0,
        "significant": False,
    }
    assert auc_difference(PAIRS, TRUTH, chance, DRAWS)["mean"] == 0.5
    assert auc_difference(PAIRS, chance, TRUTH, DRAWS)["significant"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,word\n", "has the columns .*; expected id, word, first"),
        (
            "id,word,first,second,same,sense1,sense2\na,b,A b.,B b.,yes,n: x,n: x\n",
            "line 2: .*; expected 7 cells, none of them empty",
        ),
        (
            "id,word,first,second,same,sense1,sense2\na,b,A b.,B b.,1,n: x,n: x\n",
            "'b' has pairs of one kind only",
        ),
        (None, "cannot be read"),
    ],
)
def test_an_invalid_file_is_reported(tmp_path, text, said):
    if text is not None:
        (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_pairs(tmp_path / "pairs.csv")
