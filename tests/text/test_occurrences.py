"""The search with an index of the items against `TextIndex`, an index of the training texts in memory."""

import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from groundup.parallel.cluster import HERE, DaskConfig, ProcessesConfig
from groundup.text import occurrences, runs
from groundup.text.jsonl import write_jsonl
from groundup.text.near_duplicates import NearIndex
from groundup.text.occurrences import KINDS, NOWHERE, batches_in, batches_of, index_items, kinds_of
from groundup.text.overlap import TextIndex
from tests.corpora import generated

words = st.lists(st.sampled_from(["a", "B", "2", "3", "c!"]), max_size=18).map(" ".join)
documents = st.lists(st.lists(words, min_size=1, max_size=3), max_size=9)
solid = st.lists(words.filter(str.strip), max_size=9)


@given(
    st.lists(words, min_size=1, max_size=9),
    st.lists(st.lists(words, min_size=1, max_size=3), max_size=9),
    st.booleans(),
)
def test_items_are_found_as_an_index_of_the_training_texts_finds_them(items, documents, keep_digits):
    wholes = ["\n".join(messages) for messages in documents]
    index = TextIndex([*wholes, *(m for messages in documents for m in messages)], keep_digits=keep_digits)
    with tempfile.TemporaryDirectory() as folder:
        searched = index_items([items[:1], items[1:]], Path(folder), HERE, keep_digits=keep_digits)
        found = searched.search([documents[:4], documents[4:]], HERE)
        for number, item in enumerate(items):
            hit = index.find(item)
            assert searched.text(number) == item
            assert found.kinds[number] == (KINDS.index(hit.kind) if hit else NOWHERE)
            if hit:
                shown = found.example(number)
                assert shown.kind == hit.kind and shown.training in index.texts


@given(
    st.lists(words.filter(str.strip), min_size=1, max_size=9), st.lists(words.filter(str.strip), max_size=9)
)
def test_near_duplicates_of_whole_texts_are_found_as_an_index_finds_them(items, documents):
    index = NearIndex(documents)
    with tempfile.TemporaryDirectory() as folder:
        flags = index_items([items], Path(folder), HERE, templates=True).search([documents], HERE).flags
    assert [bool(flag & 0b1100) for flag in flags] == [item in index for item in items]


def test_every_place_finds_the_same_in_a_corpus_of_many_parts(tmp_path, monkeypatch, dask_address):
    rows = generated.documents(100)
    monkeypatch.chdir(tmp_path)  # in which no worker was started
    write_jsonl(Path("corpus.jsonl"), rows)
    rng = random.Random(1)
    messages = [rng.choice(row["messages"]) for row in rows[::9]]
    items = [*messages, *(m.upper() for m in messages), *(f"oh {m} ok" for m in messages), "nothing of it"]
    expected = TextIndex(row["messages"] for row in rows)
    monkeypatch.setattr(occurrences, "PART_BYTES", 4000)
    monkeypatch.setattr(runs, "PAIR_BYTES", 2**18)  # as if there were many more items
    places = [ProcessesConfig("processes", 2, 16), DaskConfig("dask", dask_address, 20, 16)]
    for number, place in enumerate(places):
        folder = Path(str(number))
        folder.mkdir()
        batches = batches_of(Path("corpus.jsonl"))
        assert len(batches) > 8
        found = kinds_of(items, batches, folder, place)
        assert found == {item: hit.kind for item in items if (hit := expected.find(item))}
        assert len(set(found.values())) == 3
        # documents are items as a whole
        whole = index_items(batches, folder, place).search(batches_in(messages), place)
        assert (whole.kinds != NOWHERE).sum() >= sum(len(row["messages"]) == 1 for row in rows[::9])
