"""The vocabulary: learned from the training split alone, or GPT-2's."""

import tempfile
from pathlib import Path

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.datasets.documents import text_of
from groundup.datasets.shards import read_documents
from groundup.errors import BadInput
from groundup.params import load_params
from groundup.tokenizers.bpe import BPETokenizer, TokenizerConfig
from groundup.tokenizers.published import gpt2_tokenizer
from groundup.tokenizers.vocabulary_report import describe_vocabulary
from groundup.tracking import Run
from pipelines.stage import run_stage

GPT2_FILES = ("gpt2_vocab_bpe", "gpt2_encoder_json")  # their names in the catalogue


def main(run: Run, corpus: Path, catalogue: Path, out: Path, *, tokenizer: TokenizerConfig) -> None:
    """Write the tokenizer to `out`; the validation split is only measured with it."""
    trained = _train(corpus, tokenizer) if tokenizer.kind == "bpe" else _fetch_gpt2(catalogue)
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


def _fetch_gpt2(catalogue: Path) -> BPETokenizer:
    datasets = load_catalogue(catalogue)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in GPT2_FILES]
        for file in files:
            if file.name not in datasets:
                raise BadInput(f"{catalogue} has no {file.name}; tokenizer.kind gpt2 needs it: add it again.")
            fetch(datasets[file.name], file)
        return gpt2_tokenizer(*files)


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, tokenizer=params.tokenizer)
