"""The page as a whole is looked at in tests/pipelines/study/test_compare_tokenizers.py; here what may be missing."""

from pathlib import Path

from groundup.evaluation.tokenizer_results import table
from groundup.reports.tokenizer_page import page
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.loading import Tokenizer
from tests.pipelines.study.tokenizers import COMPARE, row


def test_without_learned_merges_there_is_no_section_about_them(tmp_path: Path) -> None:
    rows = {"bpe": row([2.0, 2.1, 2.2], [0.85, 0.80, 0.78]), "byte": row([2.5, 2.6, 2.7], [0.8, 0.9, 0.7])}
    (tmp_path / "ladder.png").write_bytes(b"\x89PNG")
    tokenizers: dict[str, Tokenizer] = {name: BPETokenizer.train(["low"], 257) for name in rows}
    text = page(table(rows, COMPARE), rows, tokenizers, COMPARE, tmp_path)
    assert "as it was learned" not in text
    assert "2.100 (1.852–2.348)" in text
    assert "with each tokenizer, 20 seconds a seed" in text
    assert '<th class="n">size, M</th>' in text
    assert "One sentence, many cuts" in text
