"""Whether PostgreSQL answers, if a Prefect server that starts here keeps its history in it (docs/team.md)."""

import asyncio

from groundup.errors import BadInput, first_line

VARIABLE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
PATIENCE_SECONDS = 10.0


def check(url: str) -> None:
    """Connect once to Prefect's database, because a server without it fails with pages of tracebacks.

    Args:
        url: its address; only PostgreSQL is checked, and no address with variables, which Prefect replaces.

    Raises:
        BadInput: the database cannot be used.
    """
    if not url.startswith("postgresql") or "$" in url:
        return
    from asyncpg import InterfaceError, PostgresError
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def ask() -> None:
        # as Prefect does, so that options of the address such as ssl=require mean the same
        engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": PATIENCE_SECONDS})
        async with engine.connect():
            pass

    try:
        asyncio.run(ask())
    except (OSError, ValueError, ImportError, PostgresError, InterfaceError, SQLAlchemyError) as error:
        why = first_line(error) or f"no answer in {PATIENCE_SECONDS:.0f} s"
        raise BadInput(
            f"Prefect's database {url.partition('?')[0]} cannot be used ({why}); expected a PostgreSQL database: start "
            f"it, correct {VARIABLE}, or unset it to keep the history in the project's .prefect"
        ) from None
