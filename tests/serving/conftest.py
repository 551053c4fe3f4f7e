"""One server for the tests that do not change it."""

from collections.abc import Iterator

import pytest

from tests.serving.running import Running, running, tiny_models


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    with running(tiny_models()) as found:
        yield found
