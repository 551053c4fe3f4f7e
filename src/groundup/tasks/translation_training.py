"""Training of the translator: one vocabulary for both sides, then an encoder-decoder on pairs of verses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.datasets.verses import SIDES
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.tasks.translation import (
    Ids,
    check_lengths,
    encode_pairs,
    make_model,
    translate,
    translation_batches,
    translation_loss,
)
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.config import ComputeConfig, TranslationConfig
from groundup.training.devices import pick_device
from groundup.training.loop import Log, fit
from groundup.training.objectives import sequence_to_sequence
from groundup.training.resume import Resume

Pair = Mapping[str, str]


@dataclass(frozen=True)
class TrainedTranslator:
    """A trained translator and facts about its training.

    Attributes:
        model: the encoder-decoder.
        vocabulary: the tokenizer of both sides.
        history: rows of `fit`.
        pairs: number of training pairs.
        left_out: number of pairs left out because a side has more than `max_tokens` tokens.
        seconds: see `training_seconds`.
        val: the encoded pairs of val, (source, target).
    """

    model: EncoderDecoder
    vocabulary: BPETokenizer
    history: Sequence[Mapping[str, float]]
    pairs: int
    left_out: int
    seconds: float
    val: Sequence[tuple[Ids, Ids]]

    def val_loss(self, batch_size: int) -> float:
        """Compute the loss on the whole val split, in nats per token."""
        return translation_loss(self.model, self.val, batch_size)

    def sizes(self) -> dict[str, float]:
        """Return the numbers of pairs, parameters, steps and tokens, and the training time in seconds."""
        return {
            "pairs": self.pairs,
            "left_out_too_long": self.left_out,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": int(self.history[-1]["step"]),
            "tokens": int(self.history[-1]["tokens_seen"]),
            "seconds": round(self.seconds, 1),
        }


def train_translator(
    splits: Mapping[str, Sequence[Pair]],
    config: TranslationConfig,
    compute: ComputeConfig,
    *,
    log: Log,
    show: Callable[[str, int], None],
    resume: Resume,
) -> TrainedTranslator:
    """Train a translator: its vocabulary, then an encoder-decoder.

    Args:
        splits: "train", "val" and "test", as verses with "source" and "target". Of test, only the lengths are
            used.
        config: vocabulary, model and training.
        compute: device and precision.
        log: see `fit`.
        show: receives sample translations as text, and the step, at every evaluation.
        resume: see `fit`.

    Raises:
        BadInput: a pair of val or test is longer than the model's context; see also `make_model` and `fit`.
    """
    training = config.training
    texts = [pair[side] for pair in splits["train"] for side in SIDES]
    vocabulary = BPETokenizer.train(texts, config.vocab_size, progress=True)
    encoded = {split: encode_pairs(vocabulary, rows) for split, rows in splits.items()}
    val = encoded["val"]
    # before the training, which would otherwise be wasted
    check_lengths({"val": val, "test": encoded["test"]}, config.model.context_length)
    pairs = [pair for pair in encoded["train"] if max(map(len, pair)) <= config.max_tokens]
    torch.manual_seed(config.seed)
    model = make_model(config, vocabulary.vocab_size).to(pick_device(compute))
    checkpoint = Checkpoint(
        model, vocabulary, CheckpointConfig("encoder_decoder", model.config, vocabulary.fingerprint)
    )

    def evaluate(step: int) -> dict[str, float]:
        show(sample_translations(checkpoint, splits["val"][: config.sample_verses]), step)
        return {"val/loss": translation_loss(model, val[: config.eval_pairs], training.batch_size)}

    speeds: list[float] = []  # tokens per second of each step of this process

    def note(row: Mapping[str, float], step: int) -> None:
        speeds.append(row["tokens_per_second"])
        log(row, step)

    history = fit(
        model,
        partial(sequence_to_sequence, label_smoothing=config.label_smoothing),
        translation_batches(pairs, training, config.seed),
        training,
        compute,
        seed=config.seed,
        log=note,
        evaluate=evaluate,
        resume=resume,
        description="translation",
    )
    left_out = len(encoded["train"]) - len(pairs)
    seconds = training_seconds(history, speeds)
    return TrainedTranslator(model, vocabulary, history, len(pairs), left_out, seconds, val)


def sample_translations(checkpoint: Checkpoint, verses: Sequence[Pair]) -> str:
    """Translate verses greedily; return each source and its translation, with a line "---" between pairs."""
    sources = [verse["source"] for verse in verses]
    written = translate(checkpoint, sources, beam_size=1, length_penalty=0.0)
    return "\n---\n".join(map("\n".join, zip(sources, written, strict=True)))


def training_seconds(history: Sequence[Mapping[str, float]], speeds: Sequence[float]) -> float:
    """Estimate how long training a translation model took, in seconds, without the evaluations.

    If it was interrupted, it is assumed to have been as fast before the interruption as afterwards.

    Args:
        history: rows of `fit`, with the tokens seen so far.
        speeds: tokens per second of the last steps, which this process made.
    """
    seen = [0.0, *(row["tokens_seen"] for row in history)]
    tokens = [after - before for before, after in pairwise(seen)][-len(speeds) :]
    seconds = sum(n / speed for n, speed in zip(tokens, speeds, strict=True))
    return seconds * seen[-1] / sum(tokens)
