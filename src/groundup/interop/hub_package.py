"""The package huggingface_hub, which the extra `hub` installs."""

from typing import Any

from groundup.errors import BadInput


def package() -> Any:
    """Return the package huggingface_hub.

    Raises:
        BadInput: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BadInput(
            "this needs the package huggingface_hub, which is not installed: `pip install 'groundup[hub]'`."
        ) from error
    return huggingface_hub
