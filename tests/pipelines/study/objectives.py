"""The study's objectives with a tiny WordPiece tokenizer and trainings of a few steps."""

from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import save_checkpoint
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules
from groundup.training.config import MaskingConfig, ObjectivesConfig, TransferConfig
from tests.pipelines.prepared import MODEL, SPAM, TALK
from tests.tiny import random_decoder, random_encoder, training_config

SHAPE = replace(MODEL, context_length=16, ngram=None)
OBJECTIVES = ObjectivesConfig(
    seed=3,
    model=SHAPE,
    masking=MaskingConfig(rate=0.3, eval_rate=0.3, whole_words=True),
    training=training_config(max_steps=6, eval_interval=4, checkpoint_interval=2),
    eval_windows=1,
    bootstrap_samples=20,
    confidence=0.95,
)
TRANSFER = TransferConfig(
    sizes=(8, None),
    epochs=1,
    min_steps=3,
    confidence=0.9,
    finetune=replace(SPAM, training=replace(SPAM.training, eval_interval=0, checkpoint_interval=0)),
)


def tokenizer() -> WordPieceTokenizer:
    """Return a tokenizer that knows the words of the tiny corpus."""
    rules = WordRules(Normalization(True, True, False, False), "bert", 100)
    texts = [*TALK, "win a prize now", "see you at home", "0123456789"] * 3
    return WordPieceTokenizer.train(texts, WordPieceConfig("wordpiece", 90, rules, 100, 1))


def make_pretrained_pair(folder: Path) -> None:
    """Write the untrained checkpoints `causal` and `masked`."""
    names = tokenizer()
    shape = vars(SHAPE.config(names.vocab_size))
    save_checkpoint(folder / "causal", random_decoder(**shape), names)
    save_checkpoint(folder / "masked", random_encoder(**{**shape, "causal": False}), names)
