"""Train word vectors: each method through the training loop, and with gensim for comparison."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from groundup.embeddings.config import EmbeddingsConfig, Method
from groundup.embeddings.cooccurrence import count_cooccurrence
from groundup.embeddings.glove import GloVe, cell_batches, weighted_least_squares
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.vocabulary import Vocabulary
from groundup.embeddings.word2vec import Word2Vec, cbow, skip_gram, text_batches
from groundup.training.config import ComputeConfig
from groundup.training.devices import pick_device
from groundup.training.loop import Log, fit
from groundup.training.resume import Resume


@dataclass(frozen=True)
class Trained:
    """The result of training word vectors.

    Attributes:
        vectors: the word vectors.
        history: the rows of `fit`; empty for gensim.
        seconds: training time without building the vocabulary; for a resumed run, the time of its last part.
        words_per_second: words in the text times epochs, divided by `seconds`; valid only for a run that was
            not interrupted.
    """

    vectors: WordVectors
    history: list[dict[str, float]]
    seconds: float
    words_per_second: float


def train(
    method: Method,
    documents: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    config: EmbeddingsConfig,
    compute: ComputeConfig,
    *,
    log: Log,
    resume: Resume | None = None,
) -> Trained:
    """Train word vectors with groundup's own Word2Vec or GloVe.

    Args:
        method: "skipgram", "cbow" or "glove".
        documents: the words of each document.
        vocabulary: the words that get a vector.
        config: the settings of all methods.
        compute: device and threads.
        log: receives the metrics of each step.
        resume: where the resumable state is saved; a run that finds one continues from it.

    Raises:
        BadInput: no document has two words of the vocabulary; see also `fit`.
    """
    device = pick_device(compute)
    torch.manual_seed(config.seed)
    start = time.perf_counter()
    corpus = vocabulary.encode(documents)
    run = partial(fit, compute=compute, seed=config.seed, log=log, resume=resume, description=method)
    if method == "glove":
        glove = GloVe(len(vocabulary), config.dimension).to(device)
        counted = count_cooccurrence(corpus, len(vocabulary), config.glove.window)
        cells, steps = cell_batches(counted, config.glove.step_cells, config.seed)
        objective = partial(weighted_least_squares, x_max=config.glove.x_max, alpha=config.glove.alpha)
        epochs = config.glove.epochs
        schedule = config.training(config.glove.optimizer, steps * epochs)
        history = run(glove, objective, cells, schedule)
        matrix = glove.vectors()
    else:
        model = Word2Vec(len(vocabulary), config.dimension).to(device)
        text, steps = text_batches(corpus, vocabulary.counts, config.word2vec, config.seed)
        predict = {"skipgram": skip_gram, "cbow": cbow}[method]
        epochs = config.word2vec.epochs
        schedule = config.training(config.word2vec.optimizer, steps * epochs)
        history = run(model, partial(predict, negative=config.word2vec.negative), text, schedule)
        matrix = model.words.weight.detach()
    seconds = time.perf_counter() - start
    facts = {"method": method, "by": "groundup", "epochs": epochs, "words": corpus.raw_words}
    vectors = WordVectors(vocabulary.words, matrix.float().cpu().numpy(), facts)
    return Trained(vectors, history, seconds, corpus.raw_words * epochs / seconds)


def train_with_gensim(
    method: Method,
    documents: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    config: EmbeddingsConfig,
    compute: ComputeConfig,
) -> Trained:
    """Train gensim's Word2Vec with the same words, window, dimension and epochs, with one worker per thread.

    The optimizer (SGD with a rate that falls from 0.025 to almost 0) and the way negatives are drawn are
    gensim's defaults.
    """
    from gensim.models import Word2Vec as Gensim

    model = Gensim(
        vector_size=config.dimension,
        window=config.word2vec.window,
        min_count=1,
        sg=int(method == "skipgram"),
        negative=config.word2vec.negative,
        sample=config.word2vec.sample,
        workers=compute.threads,
        seed=config.seed,
    )
    model.build_vocab_from_freq(dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)))
    raw_words = sum(map(len, documents))
    epochs = config.word2vec.epochs
    start = time.perf_counter()
    model.train(documents, total_examples=len(documents), total_words=raw_words, epochs=epochs)
    seconds = time.perf_counter() - start
    facts = {"method": method, "by": "gensim", "epochs": epochs, "words": raw_words}
    vectors = WordVectors(vocabulary.words, model.wv[list(vocabulary.words)], facts)
    return Trained(vectors, [], seconds, raw_words * epochs / seconds)
