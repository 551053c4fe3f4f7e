"""Events that the flows send to Prefect, where an automation turns PROMOTED and DRIFT into notifications."""

from typing import Any

from prefect.events import emit_event

PROMOTED = "groundup.model.promoted"
KEPT = "groundup.model.kept"
DRIFT = "groundup.drift.found"


def announce(event: str, subject: str, message: str, **facts: Any) -> None:
    """Send an event to the Prefect server; if it cannot be reached, the event is lost and the flow goes on.

    Args:
        event: PROMOTED, KEPT or DRIFT.
        subject: the registered model, or what has drifted.
        message: one sentence, which becomes the text of the notification.
        facts: values for the webhook, which JSON can represent.
    """
    resource = {"prefect.resource.id": f"groundup.{subject}", "prefect.resource.name": subject}
    emit_event(event, resource, payload={"message": message, **facts})
