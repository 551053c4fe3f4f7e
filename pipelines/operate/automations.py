"""What a Prefect server does by itself for the project: mark dead runs as crashed, and call a webhook.

`python -m pipelines.operate setup` creates these automations on the server; `make schedule` creates only the first.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore, CallWebhook, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType

from pipelines.operate.notices import DRIFT, PROMOTED

SILENT = "groundup: mark silent runs as crashed"
FAILURES = "groundup: notify of failed and crashed runs"
NEWS = "groundup: notify of promotions and drift"
TAG = "groundup"  # of all deployments in prefect.yaml, and so of the runs that they start
SILENCE = timedelta(minutes=5)  # prefect.toml: a run sends a heartbeat every minute

# events after which a run has to show another sign of life, and events after which it need not
ALIVE = {f"prefect.flow-run.{name}" for name in ("heartbeat", "Pending", "Submitting", "Running")}
AT_REST = {
    f"prefect.flow-run.{name}"
    for name in (
        *("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Cancelling"),
        *("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Paused", "Suspended"),
    )
}

# The bodies are templates of Jinja; SERVER becomes the address of the server's pages. Slack and Mattermost show `text`.
FAILED_BODY = """\
{%- set message = flow_run.state.message or "no message" -%}
{
  "text": {{ (flow.name ~ " (run " ~ flow_run.name ~ "): " ~ flow_run.state.name ~ ": " ~ message) | tojson }},
  "event": {{ event.event | tojson }},
  "time": {{ event.occurred | string | tojson }},
  "flow": {{ flow.name | tojson }},
  "run": {{ flow_run.name | tojson }},
  "state": {{ flow_run.state.name | tojson }},
  "message": {{ message | tojson }},
  "url": {{ ("SERVER/runs/flow-run/" ~ flow_run.id) | tojson }}
}"""
NEWS_BODY = """\
{
  "text": {{ (event.resource.name ~ ": " ~ event.payload.message) | tojson }},
  "event": {{ event.event | tojson }},
  "time": {{ event.occurred | string | tojson }},
  "subject": {{ event.resource.name | tojson }},
  "facts": {{ event.payload | tojson }},
  "url": {{ ("SERVER/runs/flow-run/" ~ flow_run.id if flow_run.id else "SERVER") | tojson }}
}"""


def put(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation on the server, or update the one of this name."""
    found = client.read_automations_by_name(automation.name)
    if found:
        client.update_automation(found[0].id, automation)
    else:
        client.create_automation(automation)


def silent_runs(flows: Collection[str], name: str = SILENT) -> AutomationCore:
    """Return the automation that marks a run of the flows as crashed after SILENCE without a sign of life.

    It covers flows inside other flows, and flows that were started by hand.

    Args:
        flows: names of the flows.
        name: the automation's name.
    """
    return AutomationCore(
        name=name,
        description="The process of a run that shows no sign of life was killed, perhaps with its worker or machine.",
        trigger=EventTrigger(
            after=ALIVE,
            expect=ALIVE | AT_REST,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": sorted(flows)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="no sign of life: its process, worker or machine was killed"
            )
        ],
    )


def notifications(block: UUID, pages: str) -> list[AutomationCore]:
    """Return the automations that call a webhook.

    Args:
        block: id of the webhook block.
        pages: address of the server's pages, to which the notifications link.
    """
    failures = EventTrigger(
        expect={"prefect.flow-run.*"},
        match={"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": ["FAILED", "CRASHED"]},
        # flows inside a run do not have its tag, so that a failure is reported once
        match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
        posture=Posture.Reactive,
        threshold=1,
    )
    news = EventTrigger(
        expect={PROMOTED, DRIFT},
        match={"prefect.resource.id": "groundup.*"},
        posture=Posture.Reactive,
        threshold=1,
    )
    return [
        AutomationCore(
            name=FAILURES,
            description="Calls the webhook when a run of a deployment has failed, run out of time or crashed.",
            trigger=failures,
            actions=[CallWebhook(block_document_id=block, payload=FAILED_BODY.replace("SERVER", pages))],
        ),
        AutomationCore(
            name=NEWS,
            description="Calls the webhook when a model was promoted or drift was found.",
            trigger=news,
            actions=[CallWebhook(block_document_id=block, payload=NEWS_BODY.replace("SERVER", pages))],
        ),
    ]
