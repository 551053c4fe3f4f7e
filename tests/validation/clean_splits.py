"""Prepared splits in which no evaluation item occurs in training text."""


def splits():
    """(corpus, spam, instructions)"""
    corpus = {
        "train": [{"id": "d1", "messages": ["hello there", "how are you"]}],
        "val": [{"id": "d2", "messages": ["good day", "see you soon"]}],
        "gate": [{"id": "d3", "messages": ["a fine evening", "so it is"]}],
    }
    texts = {
        "train": ("free cash", "my lunch"),
        "val": ("win gold", "our tea"),
        "test": ("call to win", "at home"),
        "gate": ("prize waiting", "in town"),
    }
    spam = {
        name: [
            {"id": f"{name}{i}", "label": label, "text": text, "group": f"{name}{i}"}
            for i, (label, text) in enumerate(zip(("spam", "ham"), pair, strict=True))
        ]
        for name, pair in texts.items()
    }
    row = {"family": "a", "input": "", "output": "5"}
    instructions = {
        "train": [row | {"id": "i1", "instruction": "What is 2 + 3?"}],
        "val": [row | {"id": "i2", "instruction": "What is 1 + 4?"}],
        "test": [row | {"id": "i3", "instruction": "What is 4 + 1?"}],
        "gate": [row | {"id": "i5", "instruction": "What is 3 + 2?"}],
        "held_out": [row | {"id": "i4", "family": "c", "instruction": "Count to five."}],
    }
    return corpus, spam, instructions
