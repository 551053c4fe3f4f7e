from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.vocabulary_report import describe_vocabulary, segmentation

TOKENIZER = BPETokenizer.train(["low low lower"], 259)  # lo = 256, low = 257, <|endoftext|> = 258


def test_metrics_by_hand() -> None:
    metrics, page = describe_vocabulary(TOKENIZER, ["low", "slow"])  # ids 257; 115 257
    assert metrics == {"vocab_size": 259, "val/bytes_per_token": 7 / 3, "val/vocabulary_used": 2 / 259}
    assert "'low'\n'lo'" in page
    assert "s|low" in page


def test_segmentation_keeps_every_byte_visible() -> None:
    assert segmentation(TOKENIZER, "low é") == r"low| |\xc3|\xa9"
