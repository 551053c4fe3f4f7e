"""Send an exported folder to the Hugging Face Hub or to a compatible endpoint, in one commit."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from groundup.errors import BadInput, first_line
from groundup.interop.hub_package import package

HUB = "https://huggingface.co"
NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "README.md")


@dataclass(frozen=True)
class Upload:
    """What a push sends, and where.

    Attributes:
        folder: the exported folder.
        repo: the repository, such as "someone/model".
        private: whether only its owner may see it.
        revision: the branch.
        endpoint: the address of the Hub.
    """

    folder: Path
    repo: str
    private: bool
    revision: str
    endpoint: str

    @property
    def files(self) -> dict[str, int]:
        """The files of the folder that are sent, with their sizes in bytes; hidden files and subfolders stay here."""
        return {
            file.name: file.stat().st_size
            for file in sorted(self.folder.iterdir())
            if file.is_file() and not file.name.startswith(".")
        }


def endpoint() -> str:
    """Return the address of the Hub: that in HF_ENDPOINT, or Hugging Face's."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def require_name(repo: str) -> None:
    """Check the name of a repository.

    Raises:
        BadInput: it is not owner/name, or the package huggingface_hub is not installed.
    """
    hub = package()
    try:
        hub.utils.validate_repo_id(repo)
    except hub.errors.HFValidationError as error:
        raise BadInput(
            f"{repo} is not a repository's name ({error}); expected owner/name: correct it."
        ) from error
    if repo.count("/") != 1:
        raise BadInput(f"{repo} is not a repository's name; expected owner/name: correct it.")


def prepare(folder: Path, repo: str, *, private: bool, revision: str) -> Upload:
    """Check what would be sent. Nothing is sent.

    Raises:
        BadInput: the folder is not a complete export.
    """
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise BadInput(
            f"{folder} has no {', '.join(missing)}; expected a folder that `groundup export` wrote, or a checkpoint: "
            f"give another one."
        )
    return Upload(folder, repo, private, revision, endpoint())


def push(upload: Upload) -> str:
    """Create the repository and the branch if they do not exist, and commit the files.

    The token is that of HF_TOKEN, or of `hf auth login`.

    Returns:
        The address of the commit.

    Raises:
        BadInput: there is no token, the endpoint does not answer or refuses, or the repository exists and is public
            although a private one is wanted.
    """
    hub = package()
    import httpx2  # huggingface_hub brings it

    token = hub.get_token()
    if token is None:
        raise BadInput(
            f"there is no token for {upload.endpoint}; expected one that may write to {upload.repo}: set HF_TOKEN, or "
            f"log in with `hf auth login`."
        )
    if not re.fullmatch(r"[!-~]+", token):  # the HTTP library would refuse it, and quote it
        raise BadInput(
            f"the token for {upload.endpoint} has characters that no token has; expected letters, digits and signs "
            f"without spaces: copy it again."
        )
    if upload.endpoint != HUB:
        hub.constants.HF_HUB_DISABLE_XET = (
            True  # only Hugging Face has its storage protocol; all have git LFS
        )
    api = hub.HfApi(endpoint=upload.endpoint, token=token, library_name="groundup")
    try:
        api.create_repo(upload.repo, private=upload.private, exist_ok=True)
        if upload.private and not api.model_info(upload.repo).private:
            raise BadInput(
                f"{upload.repo} exists and is public, but a private one is wanted; nothing was sent: choose another "
                f"name, or make the repository private first."
            )
        if upload.revision != "main":
            api.create_branch(upload.repo, branch=upload.revision, exist_ok=True)
        additions = [hub.CommitOperationAdd(name, str(upload.folder / name)) for name in upload.files]
        made = api.create_commit(
            upload.repo, additions, commit_message="Upload a model from groundup", revision=upload.revision
        )
    except BadInput:
        raise
    except hub.errors.HfHubHTTPError as error:
        raise BadInput(
            f"{upload.endpoint} refused to store {upload.repo} ({first_line(error)}); expected a token that may "
            f"write there: check HF_TOKEN, the name, and the address in HF_ENDPOINT."
        ) from error
    except (
        httpx2.HTTPError,
        hub.errors.OfflineModeIsEnabled,
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
    ) as error:
        # an error while a large file is sent is the cause of a RuntimeError that only names the file
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise BadInput(
            f"{upload.endpoint} could not be reached, broke off, or does not answer as a Hub ({type(cause).__name__}: "
            f"{first_line(cause)}); a commit is whole or absent there: check the network, and the address in "
            f"HF_ENDPOINT, and push again."
        ) from error
    return str(made.commit_url)
