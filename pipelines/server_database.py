"""Whether PostgreSQL answers, if a Prefect server that starts here keeps its history in it (docs/team.md)."""

import asyncio
import re

from groundup.errors import BadInput

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
    import asyncpg

    async def ask() -> None:
        connection = await asyncpg.connect(
            re.sub(r"^postgresql\+\w+", "postgresql", url), timeout=PATIENCE_SECONDS
        )
        await connection.close()

    try:
        asyncio.run(ask())
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        why = " ".join(str(error).split()) or f"no answer in {PATIENCE_SECONDS:.0f} s"
        raise BadInput(
            f"Prefect's database {url.partition('?')[0]} cannot be used ({why}); expected a PostgreSQL database: start "
            f"it, correct {VARIABLE}, or unset it to keep the history in the project's .prefect"
        ) from None
