"""Packages that are installed only with an extra of groundup, such as `pip install 'groundup[pipeline]'`."""

import re
from importlib.metadata import PackageNotFoundError, requires

from groundup.errors import BadInput

DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # whose modules have another name


def explained(error: ModuleNotFoundError) -> BadInput | ModuleNotFoundError:
    """Return an error that says which extra has the missing module; the error itself if none has it."""
    module = (error.name or "").partition(".")[0]
    distribution = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    try:
        requirements = requires("groundup") or ()
    except PackageNotFoundError:  # run from the source without an installation
        return error
    for requirement in requirements:
        found = re.fullmatch(rf"{re.escape(distribution)}\b[^;]*;.*extra == ['\"](\w+)['\"]", requirement)
        if found:
            return BadInput(
                f"this needs the package {distribution}, which is not installed; expected it for this command: "
                f"pip install 'groundup[{found[1]}]'"
            )
    return error
