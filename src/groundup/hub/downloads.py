"""Download a model from the Hugging Face Hub, or from the compatible server that the variable HF_ENDPOINT names.

huggingface_hub continues downloads whose connection breaks, and keeps files in its own cache, which other programs
share. With HF_HUB_OFFLINE=1 or without a network, that cache is used alone. Only safetensors, JSON and tokenizer
files are downloaded.
"""

import errno
import glob
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.hub.names import ADDRESS, COMMIT
from groundup.interop.hub_package import package
from groundup.interop.huggingface import read_config
from groundup.interop.json_files import read_json_object
from groundup.interop.weights import INDEX, WHOLE

SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
MAIN = (WHOLE, INDEX, "model-*.safetensors")  # usual names of weights
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TIMEOUT_SECONDS = 10
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


def parse(address: str) -> tuple[str, str | None]:
    """Split hf:org/name@revision into the repository and the revision, which is None if it is left out.

    Raises:
        BadInput: the address has another form.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise BadInput(
            f"{address} is not the address of a model on the Hub; expected hf:org/name or hf:org/name@revision, as in "
            f"hf:HuggingFaceTB/SmolLM2-135M-Instruct@main: correct it."
        )
    return match["repo"], match["revision"]


def commit_of(address: str) -> tuple[str, str]:
    """Return the repository that an address names, and its commit: that of the main branch if it names no revision.

    If the Hub cannot be reached, it is the commit that the branch or tag had when it was last downloaded.

    Raises:
        BadInput: the Hub has no such model or revision, or cannot be reached and its cache has no such model.
    """
    repo, revision = parse(address)
    if revision is not None and COMMIT.fullmatch(revision):
        return repo, revision
    hub = package()
    ref = (
        Path(hub.constants.HF_HUB_CACHE)
        / f"models--{repo.replace('/', '--')}"
        / "refs"
        / (revision or "main")
    )
    try:
        with _explained(address):
            found = str(hub.HfApi().model_info(repo, revision=revision, timeout=TIMEOUT_SECONDS).sha)
            if not COMMIT.fullmatch(found):
                raise ValueError(f"{found!r} is no commit")
            write_text(ref, found)  # where huggingface_hub notes it too
            return repo, found
    except _Unreachable as error:
        kept = ref.read_text().strip() if ref.is_file() else ""
        if not COMMIT.fullmatch(kept):
            raise BadInput(
                f"{address}: {error}, and no earlier download of it is in {ref.parents[1]}."
            ) from error
        if not hub.constants.is_offline_mode():
            print(f"{address}: {error}; using the commit that was downloaded before", file=sys.stderr)
        return repo, kept


def download(address: str, repo: str, commit: str, *, progress: bool = True) -> Path:
    """Download the files of a model that groundup reads, or find them in the cache of huggingface_hub.

    Args:
        address: the address that the user gave, for messages.
        repo: the repository, org/name.
        commit: the commit, 40 hexadecimal digits.
        progress: print the size of the download and where it is kept, and show the progress.

    Returns:
        The folder with the files.

    Raises:
        BadInput: the Hub has no such model or commit, demands a login, or cannot be reached while files are missing in
            the cache; the model has no safetensors file; or groundup cannot compute its architecture, which is found
            before weights are downloaded.
    """
    hub = package()
    (hub.utils.enable_progress_bars if progress else hub.utils.disable_progress_bars)()
    try:
        with _explained(address):
            info = hub.HfApi().model_info(repo, revision=commit, timeout=TIMEOUT_SECONDS, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
            names = _wanted(sizes, address)
            first = hub.snapshot_download(repo, revision=commit, allow_patterns=["config.json"])
            read_config(read_json_object(Path(first) / "config.json"), address)
            if progress:
                size, place = sum(sizes[name] for name in names) / 1e6, hub.constants.HF_HUB_CACHE
                print(f"{address}: {size:,.1f} MB, kept in {place}", file=sys.stderr)
            return Path(
                hub.snapshot_download(repo, revision=commit, allow_patterns=[*map(glob.escape, names)])
            )
    except _Unreachable as error:
        try:
            return Path(
                hub.snapshot_download(
                    repo, revision=commit, local_files_only=True, allow_patterns=[*SETTINGS, *MAIN]
                )
            )
        except hub.errors.LocalEntryNotFoundError:
            raise BadInput(
                f"{address}: {error}, and {hub.constants.HF_HUB_CACHE} does not have all of its files: check the "
                f"network, HF_ENDPOINT and HF_HUB_OFFLINE, then run again; files that are whole are kept."
            ) from error


class _Unreachable(Exception):
    """The Hub could not be asked; the message is the reason."""


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn errors of huggingface_hub into one sentence.

    Raises:
        BadInput: the Hub answered that it has no such model.
        _Unreachable: it gave no answer, or broke off.
    """
    from huggingface_hub import constants, errors

    repo, revision = parse(address)
    try:
        yield
    except BadInput:
        raise
    except errors.HFValidationError as error:
        raise BadInput(f"{address} is not the address of a model ({error}); correct it.") from error
    except errors.GatedRepoError as error:
        raise BadInput(
            f"{address} demands a login; accept its licence on its page, and set HF_TOKEN to your token."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(
            f"{address}: the Hub at {constants.ENDPOINT} has no public model {repo}; expected org/name of one: correct "
            f"the name, or set HF_TOKEN if the model is private."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(
            f"{address}: {repo} has no revision {revision}; expected a branch, a tag or a commit: correct it, or leave "
            f"it out for the main branch."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise _Unreachable("HF_HUB_OFFLINE is set") from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # of the HTTP library that it uses
        if getattr(error, "errno", None) in NO_ROOM:
            raise BadInput(
                f"{address} cannot be kept in {constants.HF_HUB_CACHE} ({error}); expected a folder with room for it: "
                f"free some space, or set HF_HOME to another folder."
            ) from error
        response = getattr(error, "response", None)
        found = f"answered HTTP {response.status_code}" if response is not None else "could not be reached"
        raise _Unreachable(f"the Hub at {constants.ENDPOINT} {found}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Unreachable(f"{constants.ENDPOINT} does not answer as a Hub") from error


def _wanted(names: Iterable[str], address: str) -> list[str]:
    """Return the names of the files to download, of all files of the model.

    Raises:
        BadInput: no file has weights that can be read without running code.
    """
    top = sorted(name for name in names if "/" not in name)
    weights = [name for name in top if name.endswith(".safetensors")]
    if INDEX in top:
        weights = [INDEX, *(name for name in weights if re.fullmatch(r".+-\d+-of-\d+\.safetensors", name))]
    elif WHOLE in top:
        weights = [WHOLE]
    if "config.json" in top and weights:
        return [*(name for name in top if name in SETTINGS), *weights]
    pickles = [name for name in top if name.endswith(PICKLES)]
    if pickles and not weights:
        raise BadInput(
            f"{address} has its weights only as pickle ({', '.join(pickles[:3])}), which can run any code; expected "
            f"safetensors: choose a revision or a copy of the model with safetensors."
        )
    kinds = sorted({PurePosixPath(name).suffix or name for name in names})
    raise BadInput(
        f"{address} has no config.json with safetensors beside it, but {', '.join(kinds[:6]) or 'no file'}; expected a "
        f"model in the layout of transformers: choose another one, or download its .gguf file and give the path."
    )
