"""The policy of monitoring: when drift in the latest windows calls for a retraining."""

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.monitoring.config import PolicyConfig

Result = Mapping[str, Any]


def counted(results: Sequence[Result], firings: Sequence[Result], policy: PolicyConfig) -> list[Result]:
    """Return the windows that the policy looks at: the latest ones, after those of the last firing.

    Args:
        results: see `results.read_results`, in the order in which the windows were checked.
        firings: the retrainings that drift has started, each with the names of its "windows".
    """
    used = {name for firing in firings for name in firing["windows"]}
    last = max((i for i, result in enumerate(results) if result["window"] in used), default=-1)
    return list(results[last + 1 :][-policy.windows :])


def due(results: Sequence[Result], firings: Sequence[Result], policy: PolicyConfig) -> list[str]:
    """Return the windows whose alarms call for a retraining, in order; empty if there are too few.

    The same windows call for a retraining only once; see `counted`, which also describes the arguments.
    """
    violating = [result["window"] for result in counted(results, firings, policy) if result["violation"]]
    return violating if len(violating) >= policy.violations else []
