"""Prompts in MLflow's prompt registry; a prompt gets a new version only when its text has changed."""

from groundup.tracking.store import Connection, fluent


def register(connection: Connection, name: str, template: str) -> str:
    """Return the URI of a prompt's newest version; first register `template`, if it differs from that version.

    Variables in `template` are in double braces.
    """
    client = connection.client
    with fluent(connection):
        newest = client.load_prompt(f"prompts:/{name}@latest", allow_missing=True, cache_ttl_seconds=0)
        if newest is None or newest.template != template:
            newest = client.register_prompt(name, template)
    return str(newest.uri)
