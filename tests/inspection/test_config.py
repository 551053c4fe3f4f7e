import pytest

from groundup.errors import BadInput
from groundup.inspection.config import ExplainConfig


@pytest.mark.parametrize("name", ["sentence", "verse"])
def test_an_empty_text_is_rejected(name):
    with pytest.raises(BadInput, match=rf"explain\.{name} is empty; expected a sentence"):
        ExplainConfig(**{"sentence": "a", "verse": "b", "layer": 1, "head": 1, name: " \n"})
