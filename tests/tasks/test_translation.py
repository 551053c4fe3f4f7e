from dataclasses import replace

import numpy as np
import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.errors import BadInput
from groundup.evaluation.word_alignment import learn_from
from groundup.nn.attention import Trace
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.tasks.translation import (
    alignment_map,
    alignment_maps,
    attention_of,
    check_lengths,
    encode_pairs,
    make_model,
    translate,
    translation_batch,
    translation_batches,
    translation_loss,
)
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.loop import fit
from groundup.training.objectives import IGNORE_INDEX, sequence_to_sequence
from tests.tiny import CPU, MUON, random_encoder_decoder, training_config
from tests.tiny_translation import CONFIG, PAIRS, tokenizer


def checkpoint(model: EncoderDecoder, names: BPETokenizer) -> Checkpoint:
    return Checkpoint(model, names, CheckpointConfig("encoder_decoder", model.config, names.fingerprint))


def random_checkpoint(context_length: int = 64) -> Checkpoint:
    names = tokenizer()
    return checkpoint(
        random_encoder_decoder(vocab_size=names.vocab_size, context_length=context_length), names
    )


def test_a_batch_by_hand() -> None:
    batch = translation_batch([([1, 2, 9], [3, 9]), ([4, 9], [5, 6, 7, 9])])
    no = IGNORE_INDEX
    assert batch.source.tolist() == [[1, 2, 9], [4, 9, 0]]
    assert batch.source_lengths.tolist() == [3, 2]
    assert batch.idx.tolist() == [[9, 3, 0, 0], [9, 5, 6, 7]]
    assert batch.targets.tolist() == [[3, 9, no, no], [5, 6, 7, 9]]


def test_pairs_end_with_the_end_of_text_token() -> None:
    names = tokenizer()
    encoded = encode_pairs(names, PAIRS)
    for pair, (source, target) in zip(PAIRS, encoded, strict=True):
        assert source == [*names.encode(pair["source"]), names.eot_id]
        assert target == [*names.encode(pair["target"]), names.eot_id]


def test_pairs_longer_than_the_context_are_reported() -> None:
    splits = {"val": [([1, 9], [2, 9])], "test": [([1, 9], [2, 9]), ([1, 9], [2, 3, 4, 9]), ([1, 2, 9], [9])]}
    check_lengths(splits, 4)
    with pytest.raises(BadInput, match=r"1 of the 3 pairs of test have up to 4 tokens .* at most 3"):
        check_lengths(splits, 3)
    with pytest.raises(BadInput, match="2 of the 3 pairs of test"):
        check_lengths(splits, 2)


def test_an_epoch_reads_every_pair_once() -> None:
    encoded = encode_pairs(tokenizer(), PAIRS)
    training = training_config(batch_size=2, grad_accum_steps=2)
    batches = translation_batches(encoded, training, seed=1)
    read = [
        row for step in range(len(PAIRS) // 4) for batch in batches(step) for row in batch.source.tolist()
    ]
    longest = max(len(source) for source, _ in encoded)
    rows = [row + [0] * (longest - len(row)) for row in read]
    assert sorted(rows) == sorted(source + [0] * (longest - len(source)) for source, _ in encoded)


def test_loss_of_a_split_does_not_depend_on_the_batch_size() -> None:
    names = tokenizer()
    model = random_encoder_decoder(vocab_size=names.vocab_size, context_length=64)
    encoded = encode_pairs(names, PAIRS)
    with torch.inference_mode():
        sums = [sequence_to_sequence(model, translation_batch([pair])) for pair in encoded]
    mean = sum(float(loss) for loss, _ in sums) / sum(int(count) for _, count in sums)
    assert translation_loss(model, encoded, 3) == pytest.approx(mean, rel=1e-5)
    assert translation_loss(model, encoded, 100) == pytest.approx(mean, rel=1e-5)


def test_memorises_its_pairs_and_translates_them() -> None:
    names = tokenizer()
    torch.manual_seed(0)
    model = make_model(CONFIG, names.vocab_size)
    training = training_config(max_steps=40, batch_size=8, optimizer=replace(MUON, max_lr=0.02, head_lr=0.01))
    batches = translation_batches(encode_pairs(names, PAIRS), training, seed=1)
    fit(model, sequence_to_sequence, batches, training, CPU, seed=1, log=lambda metrics, step: None)
    for beam_size in (1, 3):
        found = translate(
            checkpoint(model, names),
            [pair["source"] for pair in PAIRS],
            beam_size=beam_size,
            length_penalty=1.0,
        )
        assert found == [pair["target"] for pair in PAIRS]


def test_translations_do_not_depend_on_the_batch_and_brackets_are_cleaned() -> None:
    model = random_checkpoint()
    sources = [pair["source"] for pair in PAIRS]
    together = translate(model, sources, beam_size=2, length_penalty=0.5)
    assert translate(model, sources, beam_size=2, length_penalty=0.5, batch_size=3) == together
    marked = "[" + sources[0].replace(" ", "]  [") + "]"
    assert translate(model, [marked], beam_size=2, length_penalty=0.5) == together[:1]


def test_copy_start_attends_to_the_same_token_and_copies_it() -> None:
    with_it, without = torch.tensor([[7, 3, 9, 11, 4]]), torch.tensor([[7, 3, 8, 11, 4]])
    for strength in (CONFIG.copy_start, 0.0):
        torch.manual_seed(0)
        model, trace = make_model(replace(CONFIG, copy_start=strength), 50).eval(), Trace()
        with torch.inference_mode():
            model.encoder.shift.zero_()  # type: ignore[union-attr]  # otherwise every position also contains its predecessor
            found = [
                float(model.logits(model(source, torch.tensor([5]), torch.tensor([[9]]), trace))[0, 0, 9])
                for source in (with_it, without)
            ]
        looked_at = trace.cross_weights[0][0, :, 0].mean(dim=0)  # over the heads, for the first token
        assert (found[0] > found[1]) == (strength > 0)
        assert (int(looked_at.argmax()) == 2) == (strength > 0)


def test_copy_start_needs_one_key_head_per_head() -> None:
    grouped = replace(CONFIG, model=replace(CONFIG.model, n_kv_head=1))
    with pytest.raises(BadInput, match=r"copy_start is .* expected equal numbers of heads"):
        make_model(grouped, 50)


def test_attention_has_one_row_per_written_token() -> None:
    model = random_checkpoint()
    found = attention_of(model, "he spake unto them", "he said")
    assert found.weights.shape == (len(found.rows), len(found.columns))
    assert found.weights.sum(axis=1) == pytest.approx(np.ones(len(found.rows)), abs=1e-5)
    assert "".join(found.columns[:-1]).replace("Ġ", " ").replace("␣", " ") == "he spake unto them"


def test_two_maps_per_verse() -> None:
    model, verse = random_checkpoint(), {**PAIRS[0], "model": "he said"}
    table = learn_from(PAIRS, 3)
    maps = alignment_maps(model, table, [verse])
    assert list(maps) == ["attention_01001001", "model1_01001001"]
    attention = attention_of(model, PAIRS[0]["source"], "he said")
    assert np.array_equal(maps["attention_01001001"].weights, attention.weights)
    words = maps["model1_01001001"]
    assert (words.rows, words.columns) == (["he", "said"], ["he", "spake", "unto", "them", "NULL"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" ", "the text '' has no words; expected at least one"),
        ("[ ] ...", r"the text '.*\.\.\.' has no words; expected at least one"),
        ("he " * 40, r"has \d+ tokens; the model reads at most 16: translate it sentence"),
    ],
)
def test_texts_that_cannot_be_translated_are_reported(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        translate(random_checkpoint(16), ["he", text], beam_size=1, length_penalty=0.0)


def test_the_alignment_map_is_the_posterior_of_model_1() -> None:
    verses = [("thou art", "you are"), ("thou", "you"), ("art he", "are he")]
    table = learn_from([{"source": source, "target": target} for source, target in verses], 5)
    found = alignment_map(table, "thou art", "you are")
    assert np.array_equal(found.weights, table.posterior(["thou", "art"], ["you", "are"]))
    assert found.columns == ["thou", "art", "NULL"] and found.rows == ["you", "are"]
