from pathlib import Path

from groundup.embeddings.corpora import corpus_files, read_documents


def test_a_conversation_or_a_verse_is_a_document():
    conversations = [{"id": "1", "messages": ["Hi there!", "Don't know"]}]
    verses = [
        {"id": "01001001", "source": "In the beginning", "target": "At the first"},
        {"id": "01001002", "source": "And the earth", "target": "And the earth"},
    ]
    talk = [["hi", "there", "don't", "know"]]
    assert read_documents(conversations) == talk
    assert read_documents(conversations, verses) == [
        *talk, ["in", "the", "beginning"], ["and", "the", "earth"], ["at", "the", "first"], ["and", "the", "earth"]
    ]  # fmt: skip


def test_the_mix_contains_both_bibles():
    chat, bibles = Path("corpus/train.jsonl"), Path("verses/train.jsonl")
    assert corpus_files("chat", chat.parent, bibles.parent) == [chat]
    assert corpus_files("mix", chat.parent, bibles.parent) == [chat, bibles]
