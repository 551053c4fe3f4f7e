"""Translation with an encoder-decoder: encoding pairs, making batches, and translating.

The encoder reads the source and the end-of-text token. The decoder starts from the same token, and writes the
target and that token.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from groundup.checkpoint import Checkpoint
from groundup.datasets.verses import clean
from groundup.errors import BadInput
from groundup.evaluation.translation_results import MODEL
from groundup.evaluation.word_alignment import TranslationTable, WordSubstitution, words_of
from groundup.generation.beam_search import beam_search
from groundup.inspection.attention_maps import AttentionMap
from groundup.nn.attention import Trace
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.tokenizers.loading import Tokenizer
from groundup.training.batching import pad, sorted_batches
from groundup.training.config import EvaluateTranslationConfig, TrainingConfig, TranslationConfig
from groundup.training.objectives import IGNORE_INDEX, TranslationBatch, sequence_to_sequence

Ids = list[int]
SPARE_TOKENS = 10  # a translation may have twice the tokens of its source, plus these


def make_model(config: TranslationConfig, vocab_size: int) -> EncoderDecoder:
    """Make an untrained encoder-decoder for translation.

    Raises:
        BadInput: `copy_start` is set, but the model has fewer key/value heads than heads.
    """
    model = EncoderDecoder(
        config.model.config(
            vocab_size, n_encoder_layer=config.n_encoder_layer, tie_embeddings=config.tie_embeddings
        )
    )
    if config.copy_start:
        start_as_copy(model, config.copy_start)
    return model


@torch.no_grad()
def start_as_copy(model: EncoderDecoder, strength: float) -> None:
    """Initialise a translator's cross-attention to copy: each position attends to the same token in the source.

    Queries, keys and values are the states themselves, and `strength` times the value is added to the
    decoder's state. With token shift, every source position also contains the token before it, so the decoder
    also finds the position after its last word. King James and Basic English have most words in common, so
    this start is closer to a translation than random weights: after 150 steps, the loss on val was 3.2
    instead of 3.7 nats per token (with tied embeddings).

    Raises:
        BadInput: the model has fewer key/value heads than heads.
    """
    width = model.config.n_embd
    if model.config.n_kv_head != model.config.n_head:
        raise BadInput(
            f"translation.copy_start is {strength} with n_kv_head {model.config.n_kv_head} and n_head "
            f"{model.config.n_head}; expected equal numbers of heads: make them equal, or set copy_start to 0."
        )
    identity = torch.eye(width)
    for name, parameter in model.decoder.named_parameters():
        if name.endswith("cross_attn.c_q.weight"):
            parameter.copy_(identity)
        elif name.endswith("cross_attn.c_kv.weight"):
            parameter.copy_(torch.cat([identity, identity]))
        elif name.endswith("cross_attn.c_proj.weight"):
            parameter.copy_(strength * identity)
    if model.encoder.shift is not None:
        model.encoder.shift.fill_(1.0)


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[Mapping[str, str]]) -> list[tuple[Ids, Ids]]:
    """Encode source and target of translation pairs as token ids, each followed by the end-of-text token."""
    sides = [tokenizer.encode_batch([pair[side] for pair in pairs]) for side in ("source", "target")]
    end = [tokenizer.eot_id]
    return [(source + end, target + end) for source, target in zip(*sides, strict=True)]


def check_lengths(splits: Mapping[str, Sequence[tuple[Ids, Ids]]], context_length: int) -> None:
    """Check that the sources and targets of translation pairs fit the model's context.

    Args:
        splits: name -> its encoded pairs.

    Raises:
        BadInput: a side has more than `context_length` tokens, including its end-of-text token.
    """
    for split, pairs in splits.items():
        longest = [max(map(len, pair)) for pair in pairs]
        if too_long := [length for length in longest if length > context_length]:
            raise BadInput(
                f"{len(too_long)} of the {len(pairs)} pairs of {split} have up to {max(too_long)} tokens on a side; "
                f"the model reads and writes at most {context_length}: raise translation.model.context_length."
            )


def translation_batch(pairs: Sequence[tuple[Ids, Ids]]) -> TranslationBatch:
    """Make a batch of encoded translation pairs, padded on the right.

    The decoder reads the end-of-text token, then the target without its last token.
    """
    sources, targets = zip(*pairs, strict=True)
    return TranslationBatch(
        source=pad(sources, 0),
        source_lengths=torch.tensor([len(source) for source in sources]),
        idx=pad([[target[-1], *target[:-1]] for target in targets], 0),
        targets=pad(targets, IGNORE_INDEX),
    )


def translation_batches(
    pairs: Sequence[tuple[Ids, Ids]], training: TrainingConfig, seed: int
) -> Callable[[int], list[TranslationBatch]]:
    """Make seeded batches of encoded translation pairs, sorted by length within a step."""
    return sorted_batches(
        [len(source) + len(target) for source, target in pairs],
        lambda chosen: translation_batch([pairs[i] for i in chosen]),
        training.batch_size,
        training.grad_accum_steps,
        seed,
    )


def translate(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    *,
    beam_size: int,
    length_penalty: float,
    batch_size: int = 32,
) -> list[str]:
    """Translate texts with an encoder-decoder, by beam search, and return the best translation of each.

    Args:
        checkpoint: the translator.
        texts: the sources.
        beam_size: number of hypotheses; 1 = greedy.
        length_penalty: see `beam_search`.
        batch_size: number of texts translated at once.

    Raises:
        BadInput: a text has no words, or more tokens than the model's context.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    context = checkpoint.config.model.context_length
    cleaned = [clean(text) for text in texts]
    sources = [[*ids, tokenizer.eot_id] for ids in tokenizer.encode_batch(cleaned)]
    for text, source in zip(cleaned, sources, strict=True):
        if not any(map(str.isalnum, text)):
            raise BadInput(f"the text {text[:40]!r} has no words; expected at least one: enter a sentence.")
        if len(source) > context:
            raise BadInput(
                f"the text {text[:40]!r}… has {len(source)} tokens; the model reads at most {context}: translate it "
                f"sentence by sentence."
            )
    device = model.decoder.wte.weight.device
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: dict[int, str] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        lengths = torch.tensor([len(sources[i]) for i in chosen], device=device)
        with torch.inference_mode():
            memory = model.encode(pad([sources[i] for i in chosen], 0).to(device), lengths)
        hypotheses = beam_search(
            model,
            memory,
            start_id=tokenizer.eot_id,
            end_id=tokenizer.eot_id,
            beam_size=beam_size,
            length_penalty=length_penalty,
            max_tokens=[min(context, 2 * len(sources[i]) + SPARE_TOKENS) for i in chosen],
        )
        for i, (best, *_) in zip(chosen, hypotheses, strict=True):
            found[i] = tokenizer.decode(token for token in best.tokens if token != tokenizer.eot_id).strip()
    return [found[i] for i in range(len(texts))]


def translate_with_baselines(
    checkpoint: Checkpoint,
    table: TranslationTable,
    sources: Sequence[str],
    config: EvaluateTranslationConfig,
) -> dict[str, Sequence[str]]:
    """Translate texts with every system: the baselines, and the model, greedily and by beam search.

    Returns:
        {"copy": the sources, "word_table": translated word by word, "model_greedy", MODEL: by beam search}.

    Raises:
        BadInput: as `translate` does.
    """
    greedy, beam = (
        translate(
            checkpoint, sources, beam_size=beam_size, length_penalty=penalty, batch_size=config.batch_size
        )
        for beam_size, penalty in ((1, 0.0), (config.beam_size, config.length_penalty))
    )
    return {
        "copy": sources,
        "word_table": list(map(WordSubstitution(table), sources)),
        "model_greedy": greedy,
        MODEL: beam,
    }


def alignment_maps(
    checkpoint: Checkpoint, table: TranslationTable, verses: Sequence[Mapping[str, str]]
) -> dict[str, AttentionMap]:
    """Compute two maps per translated verse, to compare attention with word alignment.

    Returns:
        "attention_<id>": the model's cross-attention. "model1_<id>": IBM Model 1's alignment.
    """
    maps = {}
    for verse in verses:
        source, written = verse["source"], verse[MODEL]
        maps[f"attention_{verse['id']}"] = attention_of(checkpoint, source, written)
        maps[f"model1_{verse['id']}"] = alignment_map(table, source, written)
    return maps


def alignment_map(table: TranslationTable, source: str, target: str) -> AttentionMap:
    """Compute IBM Model 1's alignment of a translation.

    It is the probability that each word of `target` translates each word of `source`, or none of them (NULL).
    """
    read, written = words_of(source), words_of(target)
    return AttentionMap(written, [*read, "NULL"], table.posterior(read, written))


@torch.inference_mode()
def attention_of(checkpoint: Checkpoint, source: str, target: str) -> AttentionMap:
    """Compute the cross-attention of the decoder while it writes a translation.

    Row i of the weights is the attention over the source when token i of the target is written: the mean over
    the heads of the last layer.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    (pair,) = encode_pairs(tokenizer, [{"source": source, "target": target}])
    batch, trace = translation_batch([pair]).to(model.decoder.wte.weight.device), Trace()
    model(batch.source, batch.source_lengths, batch.idx, trace=trace)
    columns, rows = ([*tokenizer.pieces(text), "[end]"] for text in (source, target))
    return AttentionMap(rows, columns, trace.cross_weights[-1][0].mean(dim=0).numpy(force=True))


@torch.inference_mode()
def translation_loss(model: EncoderDecoder, pairs: Sequence[tuple[Ids, Ids]], batch_size: int) -> float:
    """Compute the mean loss of translations per token of the targets, in nats, without label smoothing."""
    device = model.decoder.wte.weight.device
    order = sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    nats = count = 0.0
    for start in range(0, len(order), batch_size):
        batch = translation_batch(order[start : start + batch_size]).to(device)
        loss, terms = sequence_to_sequence(model, batch)
        nats, count = nats + float(loss), count + float(terms)
    return nats / count
