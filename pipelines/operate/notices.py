"""Events that the flows send to Prefect, where automations turn them into notifications (see automations.py)."""

from typing import Any

from prefect.events import emit_event

PROMOTED = "groundup.model.promoted"
KEPT = "groundup.model.kept"
DRIFT = "groundup.drift.found"


def announce(event: str, subject: str, message: str, **facts: Any) -> None:
    """Send an event; the server delivers it, and a server that cannot be reached costs nothing but the event.

    Args:
        event: PROMOTED, KEPT or DRIFT.
        subject: the registered model, or what has drifted.
        message: one sentence, which becomes the text of the notification.
        facts: numbers and words that the webhook receives too; values that JSON can hold.
    """
    resource = {"prefect.resource.id": f"groundup.{subject}", "prefect.resource.name": subject}
    emit_event(event, resource, payload={"message": message, **facts})
