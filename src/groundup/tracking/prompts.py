"""Prompts in MLflow's prompt registry: a new version only when the text has changed."""

from groundup.tracking.store import Connection, fluent


def register(connection: Connection, name: str, template: str) -> str:
    """Register a template, whose variables are in double braces, unless it is the newest version; return its URI."""
    client = connection.client
    with fluent(connection):
        newest = client.load_prompt(f"prompts:/{name}@latest", allow_missing=True, cache_ttl_seconds=0)
        if newest is None or newest.template != template:
            newest = client.register_prompt(name, template)
    return str(newest.uri)
