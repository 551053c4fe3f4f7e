from pathlib import Path
from typing import Any

import pytest

from groundup.evaluation.tokenizer_results import table
from groundup.files import write_json
from groundup.reports.tokenizers import PANELS, draw, ladder, render
from tests.page_text import text_of
from tests.pipelines.study.tokenizers import COMPARE, row
from tests.reports.html_page import Page

ROWS = {
    "byte": row([2.5, 2.6, 2.7], [0.80, 0.90, 0.70], bytes_per_token=1.0, never_used=0.5, vocab_size=256),
    "bpe": row([2.0, 2.1, 2.2], [0.85, 0.80, 0.78]),
    "wordpiece": row([1.5, 1.6, 1.8], [0.95, 0.91, 0.88], restored=0.25),
}
MERGE = {"left": "l", "right": "o", "piece": "lo", "count": 1234}
LEARNED = {
    "bpe": {"name": "bpe", "merges": [MERGE], "steps": [[0, ["l", "o"]], [1000, ["lo"]]]},
    "wordpiece": {"name": "wordpiece", "merges": [{**MERGE, "score": 0.5}], "steps": []},
}


def measured(rows: Any = ROWS, learned: Any = LEARNED) -> dict[str, Any]:
    """What the stage compare_tokenizers writes for these rows."""
    return {
        "tokenizers": table(rows, COMPARE),
        "order": list(rows),
        "reference": COMPARE.reference,
        "confidence": COMPARE.confidence,
        "cuts": {name: ["l", "o", "\\xf0"] for name in rows},
        "learned": learned,
    }


def page(folder: Path, rows: Any = ROWS, learned: Any = LEARNED) -> str:
    (folder / "ladder.png").write_bytes(b"\x89PNG not really, but long enough for a head")
    return render(measured(rows, learned), folder)


def test_picture_and_page_come_from_the_metrics(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizers.json", measured())
    source = draw(tmp_path, tmp_path, tmp_path, tmp_path / "pictures")
    assert (tmp_path / "pictures" / "ladder.png").read_bytes().startswith(b"\x89PNG")
    assert text_of(source) == text_of(page(tmp_path))


def test_the_page_shows_how_each_was_trained_and_what_it_does(tmp_path: Path) -> None:
    source = page(tmp_path)
    assert Page(source).headings == [1, 2, 2, 2, 2, 2]
    text = text_of(source)
    assert "How byte-pair encoding was trained (bpe)" in text
    assert "How WordPiece was trained (wordpiece)" in text
    assert "1,000 merges 1" in text and "all 3" in text
    assert "0.500000" in text and "1,234" in text
    assert "2.100 (1.852–2.348)" in text
    assert "1.633 (1.254–2.013)*" in text  # lossy
    names = Page(source).text_of("dt")
    assert [name.strip() for name in names[:3]] == ["byte", "bpe", "wordpiece"]  # the order of params.yaml


def test_without_learned_merges_there_is_no_section_about_them(tmp_path: Path) -> None:
    rows = {"bpe": ROWS["bpe"], "byte": row([2.5, 2.6, 2.7], [0.8, 0.9, 0.7])}
    source = page(tmp_path, rows, {"bpe": None, "wordpiece": None})
    text = text_of(source)
    assert "How byte-pair encoding" not in text and "How WordPiece" not in text
    assert "2.100 (1.852–2.348)" in text
    assert "for the same time, 20 seconds per seed" in text
    assert '<th class="n">size, M</th>' in source
    assert "One sentence, many tokenizations" in text


def test_conclusions_follow_the_intervals(tmp_path: Path) -> None:
    said = text_of(page(tmp_path))
    assert "bpe predicts best after equal time: 2.100" in said  # not wordpiece, which is lossy
    assert "byte +0.500 (+0.500 to +0.500);" in said
    assert "of a text that is not restored completely" in said
    assert "byte -0.010 (-0.250 to +0.230), not significant" in said
    assert "50% of byte's 256 tokens never occur in the corpus, and 40% of its model's parameters" in said
    assert "Decoding does not restore every text with wordpiece" in said
    assert (
        "4 differences are tested at 95%, so about 0.2 of them would appear significant by chance alone"
        in said
    )
    assert "Spam F1, difference from bpe: byte" in said
    assert "busy" not in said


def test_seeds_with_unequal_steps_in_equal_time_are_named_first(tmp_path: Path) -> None:
    rows = {**ROWS, "byte": {**ROWS["byte"], "steps": {"seed_1": 142, "seed_2": 145, "seed_3": 59}}}
    said = text_of(page(tmp_path, rows))
    assert said.index("The machine was busy") < said.index("predicts best after equal time")
    # bpe is not named: it made 10 to 11 steps
    assert "steps (with byte 59 to 145), which may explain small differences" in said


def test_without_lossy_tokenizers_there_is_no_remark_about_them(tmp_path: Path) -> None:
    said = text_of(
        page(tmp_path, {name: ROWS[name] for name in ("bpe", "byte")}, {"bpe": None, "wordpiece": None})
    )
    assert "Decoding does not restore" not in said
    assert "Of the lossless vocabularies, bpe predicts best" in said


@pytest.mark.filterwarnings("error")
def test_each_tokenizer_has_a_mark_at_its_mean_hollow_if_lossy() -> None:
    rows = {name: ROWS[name] for name in ("bpe", "wordpiece")}
    found = table(rows, COMPARE)
    panels = ladder(found).axes
    for axes, key in zip(panels, PANELS, strict=True):
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        expected = [e[key] if key == "bytes_per_token" else e[key]["mean"] for e in found.values()]
        assert [mark.get_xdata()[0] for mark in marks] == expected
        hollow = [mark.get_markerfacecolor() == "white" for mark in marks]
        assert hollow == [False, key == "val_bpb"]
    assert panels[2].get_xlim()[1] <= 1
    assert [text.get_text() for text in panels[0].get_yticklabels()] == list(rows)
