"""The check of Prefect's database against a real PostgreSQL, which speaks no TLS."""

from collections.abc import Iterator

import pytest

from groundup.errors import BadInput
from pipelines.server_database import check
from tests import stores

NEEDED = pytest.mark.skipif(stores.binaries() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with stores.postgresql("prefect") as host:
        yield host


@NEEDED
def test_a_database_that_answers_is_accepted(host: str) -> None:
    address = stores.address("asyncpg", host, "prefect")
    check(address)
    check(f"{address}?ssl=disable&prepared_statement_cache_size=0")
    check("sqlite+aiosqlite:///prefect.db")  # not asked


@NEEDED
@pytest.mark.parametrize(
    ("driver", "password", "query", "said"),
    [
        ("asyncpg", "wrong-secret", "", "password authentication failed"),
        ("asyncpg", stores.PASSWORD, "?ssl=require", "rejected SSL upgrade"),
        ("nonsense", stores.PASSWORD, "", "sqlalchemy.dialects:postgresql.nonsense"),
        ("pg8000", stores.PASSWORD, "", "No module named 'pg8000'"),
    ],
)
def test_one_that_cannot_be_used_is_one_sentence(
    host: str, driver: str, password: str, query: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        check(stores.address(driver, host, "prefect", password) + query)
    assert "\n" not in str(refused.value) and "wrong-secret" not in str(refused.value)


def test_nobody_listens() -> None:
    with pytest.raises(BadInput, match="start it, correct PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        check(stores.address("asyncpg", f"127.0.0.1:{stores.free_port()}", "prefect"))
