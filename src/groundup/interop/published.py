"""Turn a downloaded model into a checkpoint: weights, tokenizer, chat template and hashes of its files."""

from dataclasses import dataclass
from pathlib import Path

from groundup.checkpoint import fingerprint, save_checkpoint
from groundup.errors import BadInput, first_line
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.interop import gguf, huggingface
from groundup.interop.gguf_file import open_gguf
from groundup.interop.import_tokenizer import gguf_tokenizer, huggingface_tokenizer
from groundup.interop.weights import weight_files
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.weights import keep_tokens
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.wordpiece import WordPieceTokenizer


@dataclass(frozen=True)
class Published:
    """A model pretrained elsewhere, with its tokenizer, chat template and stop tokens."""

    model: Decoder | Encoder | SequenceClassifier
    tokenizer: BPETokenizer | WordPieceTokenizer
    chat_template: ChatTemplate | None
    weights: dict[str, str]  # file name -> sha256
    stop_ids: tuple[int, ...] = ()  # tokens that end an answer, other than the tokenizer's end of text
    labels: tuple[str, ...] = ()  # only of a classifier


def load_published(path: Path) -> Published:
    """Load the model of a Hugging Face folder or of a GGUF file, in float32 and evaluation mode.

    Rows of its embedding table without a token are removed.

    Raises:
        BadInput: the path does not exist, a file is damaged or missing, or the model is not supported.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix != ".gguf":
        raise BadInput(
            f"{path} is neither a folder nor a .gguf file; expected a Hugging Face folder or a GGUF file: check the "
            f"path, or download the model."
        )
    try:
        found = _from_huggingface(path) if path.is_dir() else _from_gguf(path)
    except BadInput:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
        OSError,
    ) as error:  # a field is missing or invalid
        raise BadInput(
            f"{path} is incomplete, or has an unsupported layout ({type(error).__name__}: {first_line(error)}); "
            f"download it again, or choose another model."
        ) from error
    trunk = found.model.trunk if isinstance(found.model, SequenceClassifier) else found.model
    if found.tokenizer.vocab_size > trunk.config.vocab_size:
        raise BadInput(
            f"{path} has {found.tokenizer.vocab_size} tokens and {trunk.config.vocab_size} rows of embeddings; "
            f"expected one row per token: replace the tokenizer, which is that of another model."
        )
    if found.tokenizer.vocab_size < trunk.config.vocab_size:
        keep_tokens(trunk, found.tokenizer.vocab_size)
    return found


def import_model(path: Path, out: Path) -> Published:
    """Write the downloaded model at `path` as a checkpoint to `out`, and return it.

    Raises:
        BadInput: as `load_published` does.
    """
    found = load_published(path)
    save_published(found, out)
    return found


def save_published(found: Published, out: Path) -> None:
    """Write a downloaded model as a checkpoint; its prompts use its chat template, if it has one."""
    save_checkpoint(
        out,
        found.model,
        found.tokenizer,
        prompt_style=CHAT_TEMPLATE if found.chat_template else None,
        chat_template=found.chat_template,
        stop_ids=found.stop_ids,
        labels=found.labels,
        data=found.weights,
    )


def _from_huggingface(folder: Path) -> Published:
    weights = {file.name: fingerprint(file) for file in weight_files(folder)}
    tokenizer, template = huggingface_tokenizer(folder), huggingface.chat_template(folder)
    ends = huggingface.stop_ids(folder, tokenizer)
    model = huggingface.load_model(folder)
    labels = huggingface.labels_of(folder) if isinstance(model, SequenceClassifier) else ()
    return Published(model, tokenizer, template, weights, ends, labels)


def _from_gguf(path: Path) -> Published:
    file = open_gguf(path)
    fields = gguf.without_padding(file.fields)
    tokenizer, template, ends = (
        gguf_tokenizer(fields, file.where),
        gguf.chat_template(fields),
        gguf.stop_ids(fields),
    )
    return Published(gguf.load_model(file), tokenizer, template, {path.name: fingerprint(path)}, ends)
