"""Train the main pipeline's tokenizer on train of the corpus, or use GPT-2's vocabulary."""

from pathlib import Path

from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.text.documents import text_of
from groundup.tokenizers.bpe import BPETokenizer, TokenizerConfig
from groundup.tokenizers.vocabulary_report import describe_vocabulary
from groundup.tracking import Run
from groundup.training.shards import iterate_documents


def main(run: Run, corpus: Path, vocabulary: Path, out: Path, *, tokenizer: TokenizerConfig) -> None:
    """Write the tokenizer to `out`; val is used only to measure it.

    `vocabulary` is the folder with GPT-2's files, for a tokenizer of kind gpt2.
    """
    if tokenizer.kind == "gpt2":
        trained = gpt2_tokenizer(vocabulary / "vocab.bpe", vocabulary / "encoder.json")
    else:
        trained = BPETokenizer.train(
            map(text_of, iterate_documents(corpus / "train.jsonl")),
            tokenizer.vocab_size,
            pattern=tokenizer.pattern,
            special_tokens=tokenizer.special_tokens,
            progress=True,
        )
    trained.save(out)
    held_out = [*map(text_of, iterate_documents(corpus / "val.jsonl"))]
    metrics, page = describe_vocabulary(trained, held_out)
    run.log(metrics)
    run.text(page, "vocabulary.txt")
    run.tag("tokenizer.fingerprint", trained.fingerprint)
    run.artifact(out)
