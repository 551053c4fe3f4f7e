"""The vocabulary: learned from the training split alone, or GPT-2's."""

from pathlib import Path

from groundup.interop.gpt2_vocabulary import fetch_gpt2
from groundup.text.documents import text_of
from groundup.tokenizers.bpe import BPETokenizer, TokenizerConfig
from groundup.tokenizers.vocabulary_report import describe_vocabulary
from groundup.tracking import Run
from groundup.training.shards import read_documents


def main(run: Run, corpus: Path, catalogue: Path, out: Path, *, tokenizer: TokenizerConfig) -> None:
    """Write the tokenizer to `out`; the validation split is only measured with it."""
    trained = _train(corpus, tokenizer) if tokenizer.kind == "bpe" else fetch_gpt2(catalogue)
    trained.save(out)
    held_out = [text_of(messages) for messages in read_documents(corpus / "val.jsonl")]
    metrics, page = describe_vocabulary(trained, held_out)
    run.log(metrics)
    run.text(page, "vocabulary.txt")
    run.tag("tokenizer.fingerprint", trained.fingerprint)
    run.artifact(out)


def _train(corpus: Path, config: TokenizerConfig) -> BPETokenizer:
    texts = [text_of(messages) for messages in read_documents(corpus / "train.jsonl")]
    return BPETokenizer.train(
        texts,
        config.vocab_size,
        pattern=config.pattern,
        special_tokens=config.special_tokens,
        progress=True,
    )
