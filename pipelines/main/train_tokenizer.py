"""Train the main pipeline's tokenizer on train of the corpus, or use GPT-2's vocabulary."""

from functools import partial
from pathlib import Path

from groundup.files import scratch_folder
from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.parallel.cluster import ClusterConfig
from groundup.parallel.local import in_parts
from groundup.text.documents import text_of
from groundup.tokenizers.bpe import BPETokenizer, TokenizerConfig
from groundup.tokenizers.counting import count_corpus
from groundup.tokenizers.vocabulary_report import describe_vocabulary
from groundup.tracking import Run
from groundup.training.shards import iterate_documents

MEASURED_CHARS = 10**7


def main(
    run: Run, corpus: Path, vocabulary: Path, out: Path, *, tokenizer: TokenizerConfig, cluster: ClusterConfig
) -> None:
    """Write the tokenizer to `out`; the first documents of val are used only to measure it.

    `vocabulary` is the folder with GPT-2's files, for a tokenizer of kind gpt2.
    """
    if tokenizer.kind == "gpt2":
        trained = gpt2_tokenizer(vocabulary / "vocab.bpe", vocabulary / "encoder.json")
    else:
        with scratch_folder(out) as scratch:
            count = partial(
                count_corpus,
                corpus / "train.jsonl",
                tokenizer.pattern,
                scratch,
                cluster,
                max_words=tokenizer.max_words,
                progress=True,
            )
            trained = BPETokenizer.learn(
                count,
                tokenizer.vocab_size,
                pattern=tokenizer.pattern,
                special_tokens=tokenizer.special_tokens,
                progress=True,
            )
    trained.save(out)
    held_out = next(in_parts(map(text_of, iterate_documents(corpus / "val.jsonl")), MEASURED_CHARS))
    metrics, page = describe_vocabulary(trained, held_out)
    run.log(metrics)
    run.text(page, "vocabulary.txt")
    run.tag("tokenizer.fingerprint", trained.fingerprint)
    run.artifact(out)
