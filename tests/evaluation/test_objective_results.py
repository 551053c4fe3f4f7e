from copy import deepcopy
from pathlib import Path

from groundup.evaluation.objective_results import (
    accuracy_table,
    gain_table,
    loss_table,
    objective_conclusions,
    page,
    transfer_conclusions,
    transfer_table,
)
from tests.evaluation.comparison import entry, figures, transfer


def test_conclusions_follow_the_intervals() -> None:
    said = objective_conclusions(figures())
    assert "The decoder is right in 35.0% of its guesses, more often than counting neighbours (30.0%;" in said
    assert (
        "The encoder is right in 30.5% of its guesses, not clearly more or less often than counting" in said
    )
    assert "*" not in said
    assert "The encoder read 1.5 times the text" in said
    worse = figures()
    worse["masked"]["lead"]["trigram"] = entry(-0.1)
    assert "of its guesses, less often than counting" in objective_conclusions(worse)


def test_transfer_says_where_pretraining_helps() -> None:
    said = transfer_conclusions(transfer())
    assert "Pretraining the encoder helps with 100 messages; the difference of F1 is largest with 100" in said
    assert (
        "Pretraining the decoder makes no significant difference" in said
        and ", not significant. The two" in said
    )
    assert "Highest mean with 100 messages: " in said and "6 differences are judged at 95%" in said
    assert "The two pretrained models are not to be told apart." in said
    other = deepcopy(transfer())
    other["lead"]["400"] = entry(-0.1)
    other["gain"]["masked"]["400"] = entry(-0.1)
    other["gain"]["causal"]["400"] = entry(-0.2)
    said = transfer_conclusions(other)
    assert "Of the two pretrained models the decoder is ahead with 400 messages." in said
    assert "Pretraining the encoder helps with 100 messages and harms with 400 messages" in said
    assert "Pretraining the decoder harms with 400 messages" in said


def test_tables_show_means_and_intervals() -> None:
    rows = accuracy_table(figures()).rows
    assert rows[0][1:] == ["35.0 (34.0–36.0)", "30.0 (29.0–31.0)", "5.0 (4.0–6.0)", "3.200", "30", "2.00"]
    table = transfer()
    assert transfer_table(table).rows[0][0] == "encoder, pretrained on hidden words"
    assert transfer_table(table).head == ["", "100 messages", "400 messages"]
    gains = gain_table(table).rows
    assert [row[1].endswith("*") for row in gains] == [True, False, False]
    ends = loss_table(table)
    assert ends.head == ["training loss", "100 messages, 60 steps", "400 messages, 75 steps"]
    assert [row[0] for row in ends.rows] == [row[0] for row in transfer_table(table).rows[:4]]
    assert ends.rows[0][1] == "0.030 (0.005–0.055)"  # 0.01 / sqrt(3) times 4.303
    table["f1"]["naive_bayes"]["400"] = {"mean": 0.94, "low": 0.94, "high": 0.94}
    assert transfer_table(table).rows[4][2] == "0.940"


def test_the_page_holds_all_of_it(tmp_path: Path) -> None:
    plots = {name: tmp_path / f"{name}.png" for name in ("accuracy", "curves", "transfer")}
    for path in plots.values():
        path.write_bytes(b"\x89PNG not really, but long enough for a head")
    text = page(figures(), transfer(), plots, seconds=150)
    assert text.count("data:image/png") == 3
    assert "What pretraining is worth" in text
    assert "How far training went" in text
    assert "not to be told apart" in text and "150 seconds of training each" in text
    assert "the same number of steps" in page(figures(), transfer(), plots, seconds=None)
