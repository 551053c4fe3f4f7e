"""Sentence pairs and the smallest settings to learn them."""

from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.config import EvaluateTranslationConfig, TranslationConfig
from tests.tiny import MUON, model_params, training_config

PAIRS = [
    {"id": f"01001{number:03d}", "source": source, "target": target}
    for number, (source, target) in enumerate(
        [
            ("he spake unto them", "he said to them"),
            ("she spake unto him", "she said to him"),
            ("thou art a king", "you are a king"),
            ("thou hast seen", "you have seen"),
            ("he hath seen them", "he has seen them"),
            ("she hath a son", "she has a son"),
            ("the king begat a son", "the king had a son"),
            ("they came unto the king", "they came to the king"),
        ],
        start=1,
    )
]
CONFIG = TranslationConfig(
    seed=3,
    vocab_size=300,
    model=model_params(n_embd=32),
    n_encoder_layer=1,
    tie_embeddings=True,
    copy_start=0.05,
    max_tokens=24,
    label_smoothing=0.1,
    eval_pairs=2,
    sample_verses=3,
    training=training_config(
        max_steps=6, batch_size=2, eval_interval=4, checkpoint_interval=2, optimizer=MUON
    ),
)
EVALUATE = EvaluateTranslationConfig(
    alignment_iterations=3,
    beam_size=2,
    length_penalty=1.0,
    batch_size=3,
    bootstrap_samples=20,
    seed=1,
    samples=2,
    alignments=1,
    alignment_words=(1, 99),
)


def tokenizer() -> BPETokenizer:
    """A tokenizer trained on the pairs."""
    return BPETokenizer.train([pair[side] for pair in PAIRS for side in ("source", "target")], 300)
