"""The page about the transformer family: data flow, one look worked out, attention of every head, cross-attention."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from groundup.evaluation.architecture import Stack
from groundup.evaluation.attention_steps import Look, steps
from groundup.evaluation.explanation import Seen, Translated, habits
from groundup.reports.study_page import Picture, Pieces, Section, Table, Text

VASWANI = "Vaswani et al. 2017, Attention Is All You Need, https://arxiv.org/abs/1706.03762"
GPT = "Radford et al. 2018, Improving Language Understanding by Generative Pre-Training"
BERT = "Devlin et al. 2019, BERT, https://arxiv.org/abs/1810.04805"
HABITS = {
    "itself": "itself",
    "before": "the token before",
    "first": "the first token",
    "later": "later tokens",
}
NAMES = {
    "decoder": "decoder of the main pipeline",
    "encoder": "encoder of the study",
    "encoder_decoder": "encoder-decoder of the study",
}
TITLE = "The transformer: one set of parts"
LEAD = (
    "Decoder, encoder and encoder-decoder as they were trained in this run. Every picture and number below is read "
    "from the saved models while they read the sentences chosen in the section explain of pipelines/study/params.yaml."
)


def facts(stacks: Sequence[Stack], config: Mapping[str, Any]) -> dict[str, Any]:
    """The size of a model, for the metrics."""
    return {
        "parameters": sum(stack.parameters for stack in stacks),
        "flops_per_token": sum(stack.flops for stack in stacks),
        "layers": [stack.layers for stack in stacks],
        "heads": config["n_head"],
        "channels": config["n_embd"],
    }


def overview(models: Mapping[str, tuple[Sequence[Stack], Mapping[str, Any]]]) -> Section:
    """The models side by side; {name: (stacks, config as a mapping)}."""
    rows = []
    for name, (stacks, config) in models.items():
        layers = " + ".join(str(stack.layers) for stack in stacks)
        widths = (str(config[key]) for key in ("n_head", "n_embd", "context_length"))
        parameters, flops = (sum(getattr(s, what) for s in stacks) for what in ("parameters", "flops"))
        norm = "before" if config["norm_first"] else "after"
        rows.append(
            (name, layers, *widths, config["position"], norm, f"{parameters:,}", f"{flops / 1e6:.1f}")
        )
    head = (
        "model",
        "layers",
        "heads",
        "channels",
        "context",
        "positions",
        "norm",
        "parameters",
        "MFLOP a token",
    )
    return Section(
        "Three members of a family",
        "A decoder reads from left to right and predicts the next token; an encoder sees both sides and guesses hidden "
        "tokens; an encoder-decoder reads one text with the one and writes another with the other. All three are made "
        "of the same attention, feed-forward and block; what differs is a value of the config.",
        "How little differs. A token costs about two operations for each parameter of a matrix, and the embedding "
        "tables, most of the parameters of small models, cost next to nothing.",
        f"{VASWANI}; {GPT}; {BERT}",
        [Table(head, rows, "Operations are those of the matrix products for one token at a full context.")],
    )


FLOWS = {
    "decoder": (
        "Data flow of the decoder",
        "Token ids become vectors; each block adds to them what attention finds in the past and what the feed-forward "
        "network makes of each by itself; the head turns the last vectors into a score for every token of the "
        "vocabulary.",
        "The shape never changes between the blocks: every token keeps one vector from bottom to top, and the orange "
        "path hands it on whatever a part does. Only attention moves anything from one token to another.",
        GPT,
    ),
    "encoder": (
        "Data flow of the encoder",
        "The same blocks without the mask. In place of the next token the head guesses the token that stands at each "
        "place, after one more layer of its own.",
        "What the decoder's picture does not have, and what it has too: the attention box says bidirectional, and the "
        "rest of the block is the same.",
        BERT,
    ),
    "encoder_decoder": (
        "Data flow of the encoder-decoder",
        "The encoder reads the source whole. Each block of the decoder has, between self-attention and feed-forward, "
        "an attention whose keys and values come from the encoder.",
        "The green path: it is all that the decoder knows of the source. The keys and values are computed once a text, "
        "however long the translation gets.",
        VASWANI,
    ),
}


def data_flow(kind: str, stacks: Sequence[Stack], picture: Path) -> Section:
    """Picture and table of one model; `kind` is one of FLOWS."""
    title, what, look_for, source = FLOWS[kind]
    total = sum(stack.parameters for stack in stacks)
    rows = [
        (
            f"{stack.title}: {part.title}" if len(stacks) > 1 else part.title,
            part.detail,
            str(times),
            " × ".join(map(str, part.shape)),
            f"{part.parameters * times:,}" if part.parameters else "–",
            f"{part.parameters * times / total:.1%}" if part.parameters else "–",
            f"{part.flops * times / 1e6:.3f}" if part.flops else "–",
        )
        for stack in stacks
        for part, times in stack.parts()
    ]
    head = ("part", "sizes", "times", "hands on", "parameters", "share", "MFLOP a token")
    alt = (
        "From top to bottom: blue, the shape of the tensor handed on (texts × tokens × channels); orange, the residual "
        "path; at the right parameters, their share of the model, and operations a token"
        + ("; green, what the decoder's cross-attention reads from the encoder." if len(stacks) > 1 else ".")
    )
    return Section(title, what, look_for, source, [Picture(picture, alt), Table(head, rows)])


def masks(past: Seen, both: Seen, picture: Path) -> Section:
    """Who may look at whom: the same sentence in a decoder and an encoder with the same vocabulary."""
    ahead = [mean(habit["later"] for habit in _habits(seen).values()) for seen in (past, both)]
    return Section(
        "Who may look at whom",
        "Before the softmax, scores of positions that a token must not see are set to minus infinity, so their weights "
        "become 0. That mask is the whole difference between causal and bidirectional attention.",
        "The triangle: no row of the decoder reaches to the right of its own token, since those tokens are what it "
        "learns to predict. The encoder has no such corner.",
        VASWANI,
        [
            Picture(
                picture,
                "Rows look at columns. Blue: some head gave it weight; hatched: every head gave exactly 0.",
            ),
            Text(
                f"Measured: the decoder's heads give {ahead[0]:.1%} of their weight to later tokens, the encoder's "
                f"{ahead[1]:.1%}."
            ),
        ],
    )


def one_look(found: Look, seen: Seen, position: int, layer: int, head: int) -> Section:
    """The derivation, with numbers. `layer` and `head` as people count."""
    width = len(found.query)
    return Section(
        "One look, step by step",
        f"Layer {layer}, head {head} of the main pipeline's decoder, at one token of the sentence. From the text so "
        f"far every token has a query (what it looks for), a key (what it offers to be found by) and a value (what it "
        f"tells when found), each of {width} channels.",
        "The largest product gets the largest weight: the exponential turns differences of scores into ratios of "
        "weights. The answer is the average of the values by weight, and nothing else.",
        f"{VASWANI}, section 3.2.1",
        [
            Text(
                f"q·k: multiply query and key channel by channel and add up. Divide by √{width}, so that products do "
                f"not grow with the number of channels. Take the exponential; divide by the sum over all keys: the "
                f"weights. Multiply each value by its weight; add up: the answer of this head."
            ),
            steps(found, seen.tokens, position),
        ],
    )


def self_attention(kind: str, seen: Seen, pictures: Sequence[Path]) -> Section:
    """Every head's map, a picture a layer, and what the heads are like; `kind` is "decoder" or "encoder"."""
    found = _habits(seen)
    rows = [
        (name, *(f"{habit[to]:.1%}" for to in HABITS), f"{habit['spread']:.1f}")
        for name, habit in found.items()
    ]
    table = Table(
        ("layer.head", *HABITS.values(), "spread over tokens"),
        rows,
        "Where the weight of each head goes, mean over the tokens of this sentence but the first.",
    )
    maps = [
        Picture(
            path, f"Layer {layer + 1}: each row is a token that looks, and sums to 1; darker is more weight."
        )
        for layer, path in enumerate(pictures)
    ]
    strongest = {to: max(found, key=lambda name: found[name][to]) for to in HABITS}
    says = ", ".join(
        f"at {HABITS[to]}: head {name} with {found[name][to]:.0%}"
        for to, name in strongest.items()
        if found[name][to] > 0
    )
    return Section(
        f"What the {kind} looks at",
        "The weights of every head for the sentence above, in the model as trained."
        if kind == "decoder"
        else "The same sentence in the encoder, cut by its own vocabulary.",
        "Heads with a habit: a diagonal is a head that looks at the token itself, a line beside it one that looks at "
        "its neighbour, a column one that looks at the same token from everywhere, often where nothing is to be found. "
        "Attention shows where a head reads, not why.",
        "Clark et al. 2019, What Does BERT Look At?, https://arxiv.org/abs/1906.04341",
        [Pieces([("as read", seen.tokens)]), *maps, Text(f"Looking most {says}."), table],
    )


def _habits(seen: Seen) -> dict[str, dict[str, float]]:
    """Of each head, by its name "layer.head"."""
    return {
        f"{layer}.{head}": habit
        for layer, weights in enumerate(seen.record.weights, 1)
        for head, habit in enumerate(habits(weights[0]), 1)
    }


def cross_attention(seen: Translated, pictures: Sequence[Path]) -> Section:
    """The alignment of a translation."""
    maps = [
        Picture(
            path, f"Decoder layer {n + 1}: rows are the tokens written, columns the tokens of the source."
        )
        for n, path in enumerate(pictures)
    ]
    return Section(
        "Cross-attention: which word it reads while it writes one",
        "In every decoder block of the encoder-decoder a second attention has its queries from the text being written "
        "and its keys and values from the encoder. Nobody told it which words belong together.",
        "Dark cells near the diagonal where both languages go word by word; off it where the order changes. A column "
        "of its own for the end or for a full stop is a place where heads rest that find nothing to add.",
        f"Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473; {VASWANI}",
        [
            Pieces(
                [("King James, read", seen.source.tokens), ("Basic English, written", seen.target.tokens)]
            ),
            *maps,
        ],
    )
