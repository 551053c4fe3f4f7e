"""Requests that schemathesis generates from the server's own description: none is a fault of the server."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.running import Running

MODELS = ["chat", "text", "instructed", "spam"]


@pytest.mark.parametrize("number", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_no_request_is_a_fault_of_the_server(server: Running, number: int) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 12

    @settings(max_examples=number, suppress_health_check=list(HealthCheck), deadline=None)
    @given(
        case=st.one_of([operation.as_strategy() for operation in operations]), name=st.sampled_from(MODELS)
    )
    def ask(case: Any, name: str) -> None:
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = name  # one that exists
        response = case.call()
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert response.json()["error"].keys() == {"message", "type", "param", "code"}

    ask()
