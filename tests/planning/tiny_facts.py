"""Facts and finetunings of a tiny project."""

from groundup.planning.facts import Facts
from groundup.training.config import InstructionTrainingConfig, SpamTrainingConfig
from tests.tiny import training_config

FACTS = Facts(
    vocab_size=270,
    bytes_per_token=1.5,
    train_bytes=6000,
    val_bytes=900,
    difficulty=2.2,
    spam={"train": [5, 9, 30] * 20, "val": [7] * 10, "test": [8] * 20},
    prompts={"train": [20, 30] * 30, "val": [25] * 8, "test": [22] * 8, "held_out": [24] * 4},
    answers={"train": [2, 4] * 30, "val": [3] * 8, "test": [3] * 8, "held_out": [5] * 4},
    families={"train": 3, "val": 3, "test": 3, "held_out": 1},
)
SPAM = SpamTrainingConfig(
    seeds=(1, 2),
    pooling="max",
    trainable_blocks=None,
    lora=None,
    class_weights="none",
    token_dropout=0.1,
    training=training_config(),
)
INSTRUCTIONS = InstructionTrainingConfig(
    seed=1,
    prompt_style="alpaca_short",
    trainable_blocks=None,
    lora=None,
    max_examples=None,
    eval_examples=4,
    packed_tokens=None,
    training=training_config(),
)
