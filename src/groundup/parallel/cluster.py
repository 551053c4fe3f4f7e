"""One function applied to the parts of a corpus: in this process, in several, or on a Dask cluster.

The results come in the order of the parts, so they do not depend on where they were computed. Parts and results are
small: what is large lies in files, which the workers of a cluster must see under the same paths.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from annotated_types import Ge, Gt
from pydantic import Discriminator

from groundup.errors import BadInput
from groundup.parallel.local import AHEAD, FEW_PARTS, map_in_processes, usable_cores
from groundup.settings import STRICT

if TYPE_CHECKING:
    from distributed import Client, Future

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class ProcessesConfig:
    """Processes of this machine."""

    __pydantic_config__ = STRICT

    kind: Literal["processes"]
    processes: Annotated[int, Ge(1)] | None
    """Number of processes; null = one per core, or a single one if there is little to do."""
    memory_megabytes: Annotated[int, Ge(16)]
    """Memory for sorting, per process; what does not fit is sorted on the disk."""


@dataclass(frozen=True)
class DaskConfig:
    """The workers of a Dask cluster, which have this version of groundup and see the project under the same path."""

    __pydantic_config__ = STRICT

    kind: Literal["dask"]
    address: str
    """Address of the scheduler, such as tcp://10.0.0.1:8786."""
    timeout_seconds: Annotated[float, Gt(0)]
    """How long to wait for the scheduler and its first worker, and for another one if all are lost."""
    memory_megabytes: Annotated[int, Ge(16)]
    """Memory for sorting, per worker; what does not fit is sorted on the disk."""


HERE = ProcessesConfig("processes", 1, 512)  # this process

ClusterConfig = Annotated[ProcessesConfig | DaskConfig, Discriminator("kind")]


def map_parts(
    function: Callable[[P], R], parts: Iterable[P], cluster: ProcessesConfig | DaskConfig
) -> Iterator[R]:
    """Yield `function` of each part, in order.

    Args:
        function: what is applied. It must be at the top of a module and give the same files and the same result if it
            is called again, since a cluster repeats what a lost worker had begun.
        parts: read as they are needed.
        cluster: where it is applied.

    Raises:
        BadInput: the scheduler does not answer, a worker was lost too often, or Dask is not installed.
        Exception: what `function` raised.
    """
    if cluster.kind == "processes":
        return map_in_processes(function, parts, cluster.processes)
    return _map_on_dask(function, parts, cluster)


def threads_per_part(cluster: ProcessesConfig | DaskConfig, n_parts: int) -> int:
    """Return how many threads `function` of `map_parts` should start, so that no core gets more than one.

    A worker of Dask has one thread for each part that it computes.
    """
    if cluster.kind == "dask":
        return 1
    processes = 1 if n_parts <= FEW_PARTS else cluster.processes or usable_cores()
    return max(1, usable_cores() // processes)


def _map_on_dask(function: Callable[[P], R], parts: Iterable[P], cluster: DaskConfig) -> Iterator[R]:
    with ExitStack() as stack:
        client = stack.enter_context(_connected(cluster))
        from distributed import KilledWorker
        from distributed.client import ClosedClientError, FutureCancelledError

        remaining, begun = iter(parts), deque["Future[R]"]()
        try:
            while True:
                room = AHEAD * sum(client.nthreads().values()) - len(begun)  # workers come and go
                begun.extend(
                    client.submit(function, part, pure=False)
                    for part in islice(remaining, max(room, not begun))
                )
                if not begun:
                    return
                yield _result(begun.popleft(), client, cluster)
        except KilledWorker as error:
            raise BadInput(
                f"the workers of the Dask cluster {cluster.address} died repeatedly at the same part; expected one of "
                f"them to finish it: look into their logs (often memory is short), then run again."
            ) from error
        except (FutureCancelledError, ClosedClientError) as error:
            raise BadInput(
                f"the connection to the Dask scheduler {cluster.address} was lost; expected it to run until the end: "
                f"start it again, then run again."
            ) from error


def _result(future: "Future[R]", client: "Client", cluster: DaskConfig) -> R:
    """Wait for the result of a part as long as the cluster has a worker.

    Raises:
        BadInput: it has had none for a while.
    """
    while True:
        try:
            return future.result(timeout=cluster.timeout_seconds)
        except TimeoutError:
            if future.done():  # just now, or the error is the function's own
                return future.result()
            if not client.nthreads():
                raise BadInput(
                    f"the Dask cluster {cluster.address} has lost all its workers; expected at least one: start "
                    f"workers, then run again."
                ) from None


def _connected(cluster: DaskConfig) -> "Client":
    """Return a client of the scheduler, which has at least one worker."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise BadInput(
            "the section cluster names a Dask cluster, but the package distributed is not installed; expected it: pip "
            "install 'groundup[cluster]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        client = Client(cluster.address, timeout=cluster.timeout_seconds, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadInput(
            f"no Dask scheduler answered at {cluster.address} within {cluster.timeout_seconds:g} seconds; expected "
            f"one: start it, or correct cluster.address."
        ) from error
    try:
        client.wait_for_workers(1, timeout=cluster.timeout_seconds)
    except TimeoutError as error:
        client.close()
        raise BadInput(
            f"the Dask scheduler at {cluster.address} had no worker within {cluster.timeout_seconds:g} seconds; "
            f"expected at least one: start workers, or raise cluster.timeout_seconds."
        ) from error
    return client
