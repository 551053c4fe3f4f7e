import numpy as np
import pytest
import torch

from groundup.embeddings.cooccurrence import Cooccurrence, count_cooccurrence
from groundup.embeddings.glove import Cells, GloVe, cell_batches, weighted_least_squares
from groundup.embeddings.vocabulary import build_vocabulary
from groundup.training.loop import fit
from tests.embeddings import toy
from tests.tiny import CPU


def test_loss_equals_the_formula():
    torch.manual_seed(0)
    model = GloVe(5, 3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    cells = Cells(torch.tensor([0, 1, 4]), torch.tensor([2, 1, 0]), torch.tensor([0.5, 10.0, 300.0]))
    loss, count = weighted_least_squares(model, cells, x_max=100.0, alpha=0.75)
    expected = 0.0
    for i, j, x in zip(cells.rows.tolist(), cells.columns.tolist(), cells.weights.tolist(), strict=True):
        w, c = model.words.weight[i].detach().numpy(), model.contexts.weight[j].detach().numpy()
        biases = float(model.word_bias.weight[i] + model.context_bias.weight[j])
        trust = (x / 100) ** 0.75 if x < 100 else 1.0
        expected += trust * (float(w @ c) + biases - np.log(x)) ** 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert int(count) == cells.tokens == 3
    assert torch.equal(model.vectors(), model.words.weight.detach() + model.contexts.weight.detach())


def test_every_epoch_reads_all_cells_once_in_another_order():
    counted = Cooccurrence(np.arange(1000), np.arange(1000)[::-1].copy(), np.arange(1, 1001, dtype=float))
    batches, steps = cell_batches(counted, 128, seed=1)
    epochs = [
        torch.cat([batches(epoch * steps + step)[0].rows for step in range(steps)]) for epoch in range(2)
    ]
    for rows in epochs:
        assert rows.sort().values.tolist() == list(range(1000))
    assert not torch.equal(*epochs)
    cells = batches(0)[0]
    assert torch.equal(cells.columns, 999 - cells.rows)
    assert torch.equal(cells.weights, cells.rows + 1.0)


def test_enough_dimensions_fit_every_count():
    documents = toy.documents()
    vocabulary = build_vocabulary(documents, 1)
    counted = count_cooccurrence(vocabulary.encode(documents), len(vocabulary), window=3)
    torch.manual_seed(0)
    model = GloVe(len(vocabulary), len(vocabulary))
    batches, steps = cell_batches(counted, 500, seed=1)
    config = toy.config()
    history = fit(
        model,
        lambda glove, cells: weighted_least_squares(glove, cells, x_max=10.0, alpha=0.75),
        batches,
        config.training(config.glove.optimizer, steps * 150),
        CPU,
        seed=1,
        log=lambda *_: None,
    )
    assert history[0]["train/loss"] > 1
    assert history[-1]["train/loss"] < 0.02
