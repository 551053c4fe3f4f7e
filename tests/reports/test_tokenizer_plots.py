from groundup.evaluation.tokenizer_results import table
from groundup.reports.tokenizer_plots import PANELS, ladder
from tests.pipelines.study.tokenizers import COMPARE, row


def test_a_mark_for_each_tokenizer_at_its_mean_hollow_where_text_is_lost() -> None:
    rows = {
        "bpe": row([2.0, 2.1, 2.2], [0.85, 0.80, 0.78]),
        "wordpiece": row([1.5, 1.6, 1.8], [0.95, 0.91, 0.88], restored=0.25),
    }
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
