import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpora import preparing
from groundup.datasets.corpus import CorpusConfig, NearDuplicates
from groundup.errors import BadInput
from groundup.files import read_json
from groundup.parallel.cluster import DaskConfig, ProcessesConfig
from groundup.text import runs
from groundup.text.documents import text_of
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.text.overlap import TextIndex, ngrams, normalise
from groundup.text.shards import line_of, writing
from tests.corpora import generated, in_memory

HERE = ProcessesConfig("processes", 1, 16)


def config(**changes):
    return CorpusConfig(
        **(
            {
                "val_fraction": 0.2,
                "gate_fraction": 0,
                "min_messages": 1,
                "min_chars": 1,
                "near_duplicates": None,
                "max_documents": None,
                "max_dropped_share": 1,
                "shard_megabytes": None,
                "damaged_shards": "refuse",
                "seed": 1,
            }
            | changes
        )
    )


def prepare_splits(rows, config, cluster=HERE):
    """Prepare a corpus from a file, and check that the simple version gives the same splits, report and errors."""
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name, "raw.jsonl"), Path(name, "out")
        write_jsonl(raw, rows)
        try:
            expected = in_memory.prepare(rows, config)
        except BadInput as error:
            with pytest.raises(BadInput) as found:
                preparing.prepare(raw, config, out, cluster)
            assert str(found.value) == str(error) and not out.exists()
            raise
        assert preparing.prepare(raw, config, out, cluster) == read_json(out / "report.json")
        found = read_splits(out, preparing.SPLITS), read_json(out / "report.json")
    assert found == expected
    return found


def prepare(rows, config):
    splits, report = prepare_splits(rows, config)
    assert config.gate_fraction or not splits["gate"]
    return splits["train"], splits["val"], report


def documents(*texts):
    return [{"id": f"d{i}", "messages": text.split("|")} for i, text in enumerate(texts)]


def many(count):
    return documents(
        *(f"document number {chr(97 + i % 26)}{chr(97 + i // 26)}|and so on" for i in range(count))
    )


words = st.lists(st.sampled_from(["Hi", "hi!", "you", "2", "3", "ok?", "why"]), min_size=1, max_size=16)
texts = st.lists(words.map(" ".join), min_size=2, max_size=30)


def test_every_reason_is_counted():
    rows = documents(
        "a long message|and another",
        "short|x",
        "a long message",
        " | a long one|b long one",
        "A LONG message!|and another",
    )
    train, val, report = prepare([*rows, {**rows[0], "id": "again"}], config(min_messages=2, min_chars=10))
    assert report["dropped"] == {
        "blank messages": 1,
        "under 2 messages": 1,
        "under 10 characters": 1,
        "exact duplicates": 1,
        "normalised duplicates": 1,
    }
    assert {d["id"] for d in train + val} == {"d0", "d3"} or report["cut_inside"]


@settings(max_examples=25)
@given(texts)
def test_no_text_and_no_13_words_on_both_sides(texts):
    rows = documents(*texts)
    try:
        train, val, report = prepare(rows, config(val_fraction=0.5))
    except BadInput:
        return
    if report["cut_inside"]:
        return
    keep_digits = report["digits_count"]
    index = TextIndex((document["messages"] for document in train), keep_digits=keep_digits)
    assert train and val
    assert not [document for document in val if index.find(text_of(document["messages"]))]
    ids = [document["id"] for document in train + val]
    assert len(ids) == len(set(ids)) == len({normalise(text, keep_digits=True) for text in texts})


def test_adding_and_removing_documents_keeps_the_others_in_place():
    rows = many(300)
    _, val, _ = prepare(rows, config())
    _, fewer, _ = prepare(rows[50:], config())
    later = {document["id"] for document in rows[50:]}
    assert {document["id"] for document in fewer} == {document["id"] for document in val} & later
    assert 35 <= len(val) <= 85


def test_order_of_documents_does_not_matter():
    rows = many(100)
    first = prepare(rows, config())[1]
    second = prepare(rows[::-1], config())[1]
    assert sorted(d["id"] for d in first) == sorted(d["id"] for d in second)


def test_documents_that_share_13_words_stay_together():
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    rows = many(200) + [{"id": f"s{i}", "messages": [f"start {chr(97 + i)}", shared]} for i in range(20)]
    train, val, report = prepare(rows, config(val_fraction=0.5))
    sides = [sum(d["id"].startswith("s") for d in side) for side in (train, val)]
    assert sides == [20, 0]
    assert 3 <= report["moved_to_train"] <= 17


@settings(max_examples=25)
@given(texts, st.sampled_from([0.1, 0.3, 0.6]))
def test_gate_comes_from_train_and_leaves_val_as_it_is(lines, gate_fraction):
    rows = documents(*lines)
    try:
        without, _ = prepare_splits(rows, config(val_fraction=0.3))
    except BadInput:
        return
    splits, report = prepare_splits(rows, config(val_fraction=0.3, gate_fraction=gate_fraction))
    assert splits["val"] == without["val"] and splits["train"]
    if not report["cut_inside"]:
        assert sorted(d["id"] for d in splits["train"] + splits["gate"]) == sorted(
            d["id"] for d in without["train"]
        )
        train = TextIndex((d["messages"] for d in splits["train"]), keep_digits=report["digits_count"])
        assert not [d for d in splits["gate"] if train.find(text_of(d["messages"]))]


def test_sizes_of_the_splits():
    splits, report = prepare_splits(many(600), config(gate_fraction=0.3))
    assert {name: part["documents"] for name, part in report["splits"].items()} == {
        name: len(part) for name, part in splits.items()
    }
    assert 90 < len(splits["val"]) < 150 and 150 < len(splits["gate"]) < 210


def test_a_single_document_is_cut_into_train_gate_and_val():
    text = "".join(f"Paragraph {i} is about nothing.\n\n" for i in range(40))
    splits, _ = prepare_splits(
        [{"id": "book", "messages": [text]}], config(val_fraction=0.1, gate_fraction=0.1)
    )
    parts = [splits[name][0]["messages"][0] for name in ("train", "gate", "val")]
    assert "".join(parts) == text
    assert [part.count("Paragraph") for part in parts] == [32, 4, 4]


def test_fractions_that_leave_nothing_for_train_are_refused():
    with pytest.raises(BadInput, match="gate_fraction is 1; expected less than 1"):
        prepare_splits(many(20), config(val_fraction=0.5, gate_fraction=0.5))


def test_sample_is_nested_and_keeps_order():
    small, large = (
        [d["id"] for d in in_memory.sample(many(200), config(max_documents=count))] for count in (20, 50)
    )
    assert len(small) == 20 and len(large) == 50 and set(small) < set(large)
    train, val, report = prepare(many(200), config(max_documents=50))
    assert sorted((d["id"] for d in train + val), key=lambda name: int(name[1:])) == large
    assert report["not_sampled"] == 150


def test_two_documents_give_one_each():
    train, val, _ = prepare(documents("a cat sat here", "some dog ran ."), config(val_fraction=0.01))
    assert len(train) == len(val) == 1


def test_a_single_document_is_cut_at_a_paragraph():
    text = "".join(f"Paragraph {i} is about nothing.\n\n" for i in range(40))
    train, val, report = prepare([{"id": "book", "messages": [text]}], config(val_fraction=0.1))
    assert report["cut_inside"]
    assert train[0]["messages"][0] + val[0]["messages"][0] == text
    assert train[0]["messages"][0].endswith("35 is about nothing.\n\n")


@pytest.mark.parametrize("rows", [[], documents("  "), documents("ab")])
def test_an_empty_corpus_is_refused(rows):
    with pytest.raises(BadInput, match="corpus is empty"):
        prepare(rows, config(min_chars=3))


def test_documents_that_all_share_text_are_refused():
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen"
    with pytest.raises(BadInput, match="share no text"):
        prepare(documents(f"a {shared}", f"b {shared}"), config())


def test_a_document_that_is_a_message_of_another_goes_to_train():
    rows = many(100) + [{"id": f"m{i}", "messages": [f"Document number {chr(97 + i)}A!"]} for i in range(4)]
    train, _, report = prepare(rows, config(val_fraction=0.9))
    assert {f"m{i}" for i in range(4)} <= {document["id"] for document in train}
    assert report["moved_to_train"] >= 2


SUMS = [f"{a} + {b} = {a + b}" for a in range(10, 40) for b in range(10, 40)]
PRICES = [f"Item {100 + i}: {2 * i + 1}.50 EUR" for i in range(500)]
LONG = [
    f"On day {i} one could buy the bread of the shop on the corner for {i + 7} cents." for i in range(300)
]


@pytest.mark.parametrize("texts", [SUMS, PRICES, LONG])
def test_documents_of_numbers_are_documents(texts):
    train, val, report = prepare(documents(*texts), config(val_fraction=0.1))
    assert report["dropped"] == {}
    assert sorted(text_of(d["messages"]) for d in train + val) == sorted(texts)
    assert 0.05 * len(texts) < len(val) < 0.15 * len(texts)
    assert report["digits_count"]
    again = prepare(documents(*texts, *(text.upper() for text in texts[:7])), config(val_fraction=0.1))[2]
    assert sum(again["dropped"].values()) == 7


def test_among_words_documents_that_differ_in_numbers_stay_together():
    rows = many(200) + documents(*(f"price {i}" for i in range(100, 150)))
    rows = [row | {"id": f"{i}{row['id']}"} for i, row in enumerate(rows)]
    train, val, report = prepare(rows, config(val_fraction=0.5))
    assert not report["digits_count"] and report["dropped"] == {}
    assert sum(d["messages"][0].startswith("price") for d in train) == 50
    alone = prepare(rows[:200], config(val_fraction=0.5))[1]
    assert alone == val  # all others stay in their split


def test_too_many_dropped_documents_are_refused():
    rows = documents("hello", "hello", "HELLO", "x", "some text", "more text", "a|b| |c")
    fine = prepare(rows, config(min_chars=2, max_dropped_share=3 / 7))[2]
    assert fine["dropped"] == {"blank messages": 1, "under 2 characters": 1,
                               "exact duplicates": 1, "normalised duplicates": 1}  # fmt: skip
    expected = (
        r"3 of 7 rows \(42\.9%\) would be dropped: 1 under 2 characters, 1 exact duplicates, 1 normalised "
        r"duplicates; corpus\.max_dropped_share allows 42\.0%"
    )
    with pytest.raises(BadInput, match=expected):
        prepare(rows, config(min_chars=2, max_dropped_share=0.42))


ROWS = generated.documents(400)
SMALL = 2000  # bytes of a part


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(preparing, "PART_BYTES", SMALL)
    monkeypatch.setattr(runs, "PAIR_BYTES", 2**14)  # as if there were much more text, or less memory


def shards(folder, rows, count=5, suffix=".jsonl.zst"):
    """Write rows as a folder of shards."""
    folder.mkdir()
    for number in range(count):
        with writing(folder / f"{number}{suffix}") as file:
            for row in rows[number * len(rows) // count : (number + 1) * len(rows) // count]:
                file.write(line_of(row))
    return folder


def files_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_many_parts_and_ranges_give_what_one_gives(small_parts):
    whole = config(gate_fraction=0.1)
    _, report = prepare_splits(ROWS, whole)
    assert report["dropped"]["exact duplicates"] > 20 < report["dropped"]["normalised duplicates"]
    assert report["moved_to_train"] > 5
    numbers = [row | {"messages": [f"{i} and {i % 7} are {i * i}"]} for i, row in enumerate(ROWS)]
    assert prepare_splits(numbers, whole)[1]["digits_count"]
    prepare_splits(ROWS, config(max_documents=99, min_chars=90, min_messages=2))


def words_changed(rng, text, count):
    """Replace every n-th word, so that `count` words are new."""
    words = text.split()
    for place in range(count):
        words[(2 * place + 1) * len(words) // (2 * count)] = generated.sentence(rng, 1)
    return " ".join(words)


def runs_of_words(row):
    return ngrams(text_of(row["messages"]), 5, keep_digits=True)


def test_near_duplicates_are_those_that_a_comparison_of_all_pairs_finds(small_parts):
    """One word of 60 changed leaves 51 of 61 runs of 5 words in common, four leave 36 of 76."""
    rng = random.Random(2)
    texts = [generated.sentence(rng, 60) for _ in range(60)]
    texts += [words_changed(rng, text, 1) for text in texts[::2]] + [
        words_changed(rng, text, 4) for text in texts[1::2]
    ]
    texts += [
        "too short",
        "too short, too",
        "much too short",
        *(f"price {i} of a day {i}" for i in range(20)),
    ]
    rng.shuffle(texts)
    rows = documents(*texts)
    kept = []
    for row in rows:
        mine = runs_of_words(row)
        near = (len(mine & theirs) / (len(mine | theirs) or 1) for theirs in map(runs_of_words, kept))
        if max(near, default=0) < 0.7:
            kept.append(row)
    assert len(rows) - len(kept) == 30
    for place in (HERE, ProcessesConfig("processes", 2, 16)):
        with tempfile.TemporaryDirectory() as name:
            write_jsonl(Path(name, "raw.jsonl"), rows)
            limits = config(near_duplicates=NearDuplicates(0.7, 5))
            report = preparing.prepare(Path(name, "raw.jsonl"), limits, Path(name, "out"), place)
            splits = read_splits(Path(name, "out"), preparing.SPLITS)
        assert report["dropped"] == {"near duplicates": 30}
        assert splits == in_memory.prepare(kept, config())[0]


@pytest.mark.parametrize(
    ("shard_megabytes", "place"), [(None, HERE), (1, ProcessesConfig("processes", 2, 16))]
)
def test_every_place_writes_the_same_bytes(
    tmp_path, monkeypatch, small_parts, dask_address, shard_megabytes, place
):
    monkeypatch.chdir(tmp_path)  # in which no worker was started
    shards(Path("raw.jsonl"), ROWS)
    dask = DaskConfig("dask", dask_address, 20, 16)
    for name, where in (("here", place), ("dask", dask)):
        preparing.prepare(Path("raw.jsonl"), config(shard_megabytes=shard_megabytes), Path(name), where)
    first, other = (files_of(tmp_path / name) for name in ("here", "dask"))
    assert first == other
    assert len(first) == (4 if shard_megabytes is None else 2 + 2 * 5)  # gate is an empty file
    splits, report = in_memory.prepare(ROWS, config())
    assert read_splits(tmp_path / "here", preparing.SPLITS) == splits
    assert read_json(tmp_path / "here/report.json") == report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dask", "here", "raw.jsonl"]


def test_a_damaged_shard_is_refused_or_left_out(tmp_path):
    raw = shards(tmp_path / "raw.jsonl", ROWS)
    damaged = raw / "3.jsonl.zst"
    whole = damaged.read_bytes()
    for bad in (whole[:-9], whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], b""):
        damaged.write_bytes(bad)
        with pytest.raises(BadInput, match=r"3\.jsonl\.zst is damaged \(.+\); expected a whole shard"):
            preparing.prepare(raw, config(), tmp_path / "out", HERE)
        assert not (tmp_path / "out").exists()
        report = preparing.prepare(raw, config(damaged_shards="skip"), tmp_path / "out", HERE)
        [(name, _)] = report.pop("damaged").items()
        rest = ROWS[: 3 * len(ROWS) // 5] + ROWS[4 * len(ROWS) // 5 :]
        assert name == damaged.name
        assert (read_splits(tmp_path / "out", preparing.SPLITS), report) == in_memory.prepare(rest, config())
        shutil.rmtree(tmp_path / "out")


def test_lines_and_columns_are_checked(tmp_path, small_parts):
    raw = shards(tmp_path / "raw.jsonl", ROWS, suffix=".jsonl")
    lines = (raw / "2.jsonl").read_bytes().split(b"\n")
    (raw / "2.jsonl").write_bytes(b"\n".join([*lines[:50], b'{"id": "x", "messages": "hi"}', *lines[50:]]))
    with pytest.raises(
        BadInput, match=r"2\.jsonl, line 51: the row is not a document; expected an id and a list"
    ):
        preparing.prepare(raw, config(), tmp_path / "out", HERE)
    (raw / "2.jsonl").write_bytes(b'{"id": "x", "messages": ["h\\ud800i"]}\n' + b"\n".join(lines))
    with pytest.raises(BadInput, match=r"2\.jsonl, line 1: the text has half a surrogate pair \(U\+D800\)"):
        preparing.prepare(raw, config(), tmp_path / "out", HERE)
    (raw / "2.jsonl").write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(BadInput, match=r"2\.jsonl, line 1: it is nested too deeply"):
        preparing.prepare(raw, config(), tmp_path / "out", HERE)
    with writing(raw / "2.jsonl") as file:
        file.write(line_of({"id": "x", "messages": ["hi"], "lang": "en"}))
    with pytest.raises(
        BadInput, match=r"2\.jsonl has the columns id, lang, messages, but .*0\.jsonl has id, messages"
    ):
        preparing.prepare(raw, config(), tmp_path / "out", HERE)
