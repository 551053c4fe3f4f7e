"""The page of the tokenizers: how each cuts a sentence, how it came to, and what that does to the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.evaluation.tokenizer_results import (
    CompareTokenizersConfig,
    Table,
    conclusions,
)
from groundup.reports.format import difference, interval
from groundup.reports.study_page import Part, Picture, Pieces, Section, Text, render
from groundup.reports.study_page import Table as Rows
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.vocabularies import after_merges

LEAD = (
    "A language model reads numbers. A tokenizer turns text into them: it decides what one step of the model sees, how "
    "many steps a text takes, and how many parameters lie in tables. Everything here was learned from the training "
    "conversations of this run and measured on its validation conversations."
)
SENNRICH = "Sennrich, Haddow, Birch 2016, Neural Machine Translation of Rare Words with Subword Units: "
SENNRICH += "https://aclanthology.org/P16-1162/"
SCHUSTER = (
    "Schuster and Nakajima 2012, Japanese and Korean Voice Search; the score as in the Hugging Face course: "
)
SCHUSTER += "https://huggingface.co/learn/llm-course/chapter6/6"


def page(
    found: Table,
    rows: Mapping[str, Mapping[str, Any]],
    tokenizers: Mapping[str, Tokenizer],
    config: CompareTokenizersConfig,
    pictures: Path,
) -> str:
    """The whole page.

    Args:
        found: see `tokenizer_results.table`.
        rows: as there; for the first merges.
        tokenizers: by the same names.
        pictures: the folder with ladder.png.
    """
    return render(
        "Tokenizers",
        LEAD,
        [
            _cuts(tokenizers, config),
            *_learning(rows, tokenizers, config),
            _vocabularies(found),
            _models(found, config, pictures),
        ],
    )


def _cuts(tokenizers: Mapping[str, Tokenizer], config: CompareTokenizersConfig) -> Section:
    what = (
        "One sentence, cut by every tokenizer of the study; each box is one token, one step of the model. A byte that "
        r"is only a part of a character is shown by its value, such as \xf0; ## marks a WordPiece token that goes on "
        "inside a word. The sentence is compare_tokenizers.sentence in pipelines/study/params.yaml."
    )
    look_for = (
        "Frequent words are one token, rare ones fall into parts. Byte-level tokenizers keep the space in front of a "
        "word and can write anything, if need be byte by byte; the character tokenizer and WordPiece have a token for "
        "what they do not know (U+FFFD, [UNK]), and WordPiece also loses which spaces there were."
    )
    cuts = Pieces([(name, tokenizer.pieces(config.sentence)) for name, tokenizer in tokenizers.items()])
    return Section("One sentence, many cuts", what, look_for, "", [cuts])


def _learning(
    rows: Mapping[str, Mapping[str, Any]],
    tokenizers: Mapping[str, Tokenizer],
    config: CompareTokenizersConfig,
) -> list[Section]:
    """A section for the largest learned vocabulary of each kind that joins."""
    learned = {name: row["vocabulary"] for name, row in rows.items() if row["vocabulary"]["merges"]}
    sections = []
    for scored in (False, True):
        of_kind = {n: v for n, v in learned.items() if ("score" in v["merges"][0]) == scored}
        if of_kind:
            name = max(of_kind, key=lambda n: of_kind[n]["vocab_size"])
            parts: list[Part] = [_merges(of_kind[name]["merges"], scored), _steps(tokenizers[name], config)]
            title = f"{'WordPiece' if scored else 'Byte-pair encoding'} as it was learned ({name})"
            sections.append(
                Section(title, WHAT[scored], LOOK_FOR[scored], SCHUSTER if scored else SENNRICH, parts)
            )
    return sections


WHAT = {
    False: (
        "Training begins with single bytes and joins, again and again, the two neighbours that stand side by side most "
        "often. Below are the first joins with their counts (␣ is a space), and the sentence as it was cut after more "
        "and more of them."
    ),
    True: (
        "Training begins with single characters and joins the two neighbours with the highest count(ab) / (count(a) · "
        "count(b)): not those that meet most often, but those that meet more often than chance would have them. Below "
        "are the first joins with counts and scores, and the sentence as it was cut after more and more of them. "
        "Encoding does not repeat the joins: it takes the longest piece that fits, from the left."
    ),
}
LOOK_FOR = {
    False: "Frequent pairs come first, whatever they mean: letters of small words, endings, the space before a word.",
    True: (
        "Rare letters that occur mostly together come first, where byte-pair encoding has frequent ones. The score "
        "favours the rare so much that pairs below min_pair_count must be left out: without it the vocabulary fills "
        "with names. A word with a character outside the alphabet is [UNK] as a whole."
    ),
}


def _merges(merges: Sequence[Mapping[str, Any]], scored: bool) -> Rows:
    head = ["", "left", "right", "token", "count", *(["score"] if scored else [])]
    return Rows(
        head,
        [
            [
                str(number),
                *(str(merge[key]) for key in ("left", "right", "piece")),
                f"{merge['count']:,}",
                *([f"{merge['score']:.6f}"] if scored else []),
            ]
            for number, merge in enumerate(merges, start=1)
        ],
        "The first joins.",
    )


def _steps(tokenizer: Tokenizer, config: CompareTokenizersConfig) -> Pieces:
    cuts = [(f"{n:,} joins", after_merges(tokenizer, n).pieces(config.sentence)) for n in config.steps]
    return Pieces([*cuts, ("all", tokenizer.pieces(config.sentence))])


def _vocabularies(found: Table) -> Section:
    what = (
        "Bytes per token: UTF-8 bytes of the validation text for each token. Unknown: share of tokens that say so. "
        "Fertility: tokens for each word between white space. Never used: share of the vocabulary that occurs nowhere "
        "in the whole corpus. Restored: share of the conversations that decoding gives back letter for letter. Encode: "
        "the validation text once by a tokenizer just read from its file, which remembers no word yet; median of five "
        "such repetitions."
    )
    look_for = (
        "How much longer do tokens become when the vocabulary doubles, and doubles again? How much of a vocabulary "
        "that was learned from other text is never used here? Encode speeds are of this machine while the stage ran."
    )
    head = ("tokenizer", "tokens", "bytes/token", "unknown", "fertility", "never used", "restored", "encode MB/s",
            "learned in s")  # fmt: skip
    rows = [
        (
            name,
            f"{row['vocab_size']:,}",
            f"{row['bytes_per_token']:.2f}",
            f"{row['unknown']:.2%}",
            f"{row['fertility']:.2f}",
            f"{row['never_used']:.1%}",
            f"{row['restored']:.1%}",
            f"{row['encode_megabytes_per_second']:.1f}",
            f"{row['train_seconds']:.1f}",
        )
        for name, row in found.items()
    ]
    return Section("What the vocabularies do to text", what, look_for, "", [Rows(head, rows)])


def _models(found: Table, config: CompareTokenizersConfig, pictures: Path) -> Section:
    seeds = f"Means over seeds with {config.confidence:.0%} intervals; those of F1 are cut at 0 and 1."
    seconds = max(row["seconds"]["mean"] for row in found.values())
    what = (
        f"The same decoder learned the same text for the same time with each tokenizer, {seconds:.0f} seconds a seed, "
        "and was then finetuned for spam in equally many steps. Bits per byte count what it costs to write the "
        "validation text, by its bytes and not by its tokens, so that tokenizers compare. Tables: share of the "
        "parameters that only turn ids into vectors and back, the head included. Cut: share of the test messages that "
        "do not fit into the context, which is equally long in tokens, so that short tokens show less of a message."
    )
    look_for = (
        "Short tokens: many cheap steps, of which each must be learned to spell. Long tokens: more text a second and "
        "more of it in the context, but rare tokens are learned from few examples, and large tables take their time. "
        "Where in between is the best here, and is it the same for both figures? It moves with the size of the corpus "
        "and the time."
    )
    head = (
        "tokenizer",
        "bits/byte",
        "spam F1",
        "steps",
        "tokens/s",
        "MB read",
        "size, M",
        "tables, %",
        "cut, %",
    )
    rows = [
        (
            name,
            interval(row["val_bpb"]) + ("" if row["comparable"] else "*"),
            interval(row["spam_f1"]),
            f"{row['steps']['mean']:,.0f}",
            f"{row['tokens_per_second']['mean']:,.0f}",
            f"{row['bytes']['mean'] / 1e6:.1f}",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['embedding_parameters'] / row['parameters'] * 100:.0f}",
            f"{row['cut_messages'] * 100:.1f}",
        )
        for name, row in found.items()
    ]
    reference = config.reference
    differences = [
        (
            name,
            *(
                text
                for gap in row["difference"].values()
                for text in (difference(gap), "yes" if gap["significant"] else "not significant")
            ),
        )
        for name, row in found.items()
        if name != reference
    ]
    parts: list[Part] = [
        Text("\n\n".join(conclusions(found, config))),
        Picture(pictures / "ladder.png", "Bytes per token, bits per byte and spam F1 of every tokenizer"),
        Rows(head, rows, f"{seeds} Size: millions of parameters. * predicts less than the text: see above."),
        Rows(("tokenizer", "bits/byte", "differs", "spam F1", "differs"), differences,
             f"Difference from {reference}, seed by seed."),
    ]  # fmt: skip
    return Section("What they do to the model", what, look_for, "", parts)
