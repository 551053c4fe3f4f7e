"""Cards show the figures of the tables, with intervals and baselines."""

from groundup.evaluation.cards import instructions_card, pretraining_card, spam_card, text_of


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def test_spam_card() -> None:
    table = {
        "test": {"f1": interval(0.954), "roc_auc": interval(0.99), "brier": interval(0.01)},
        "per_seed": {"1": {}, "2": {}},
        "baselines": {"char_svm": {"f1": interval(0.975)}},
        "items": {"ham": 900, "spam": 126},
    }
    card = spam_card(table, 0.95)
    assert "1,026 messages (126 spam)" in card and "2 seeds" in card and "95% intervals" in card
    assert card[card.index("| metric") :].splitlines()[:4] == [
        "| metric | this model | char_svm |",
        "| --- | --- | --- |",
        "| f1 | 0.954 [0.944, 0.964] | 0.975 [0.965, 0.985] |",
        "| roc_auc | 0.990 [0.980, 1.000] |  |",
    ]
    assert "**Limits**" in card
    del table["per_seed"]["2"]
    assert "seeds" not in spam_card(table, 0.95)


def test_instructions_card_leaves_out_a_split_without_instances() -> None:
    part = {"exact_match": interval(0.75), "instances": 1047}
    table = {
        "unseen_instances": part,
        "held_out_families": {"instances": 0},
        "before_finetuning": {"unseen_instances": {"exact_match": interval(0.01), "instances": 420}},
    }
    rows = [line for line in instructions_card(table).splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        "| new tasks of trained families | 1,047 | 0.750 [0.740, 0.760] | 0.010 [0.000, 0.020] |"
    ]


def test_pretraining_card() -> None:
    val = {"bpb": 1.6805, "loss": 3.2, "bytes": 54321}
    card = pretraining_card({"val": val, "parameters": 2500000, "tokens": 3072000, "steps": 1500})
    assert "2,500,000 parameters" in card and "1.6805 bits per byte" in card and "54,321 bytes" in card


def test_an_interval_as_text() -> None:
    assert text_of({"mean": 0.95353, "low": 0.9251, "high": 0.97586}) == "0.954 [0.925, 0.976]"
