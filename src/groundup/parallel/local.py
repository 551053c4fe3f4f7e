"""One function applied to the parts of a large text, in several processes or threads.

The results come in the order of the parts, so they do not depend on the number of workers. Only a few parts are in
memory at the same time.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from groundup.errors import BadInput

PART_CHARS = 2**20  # size of a part of a text
FEW_PARTS = 3  # not worth starting a process, which takes as long as counting the words of two parts
P = TypeVar("P")
R = TypeVar("R")
AHEAD = 2  # parts that are read for each worker before it needs them


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parts(texts: Iterable[str], n_chars: int | None = None) -> Iterator[list[str]]:
    """Yield the texts in lists, each but the last with at least `n_chars` characters (PART_CHARS), and no text more."""
    n_chars = n_chars or PART_CHARS
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= n_chars:
            yield part
            part, size = [], 0
    if part:
        yield part


def map_in_threads(
    function: Callable[[P], R], parts: Iterable[P], n_threads: int | None = None
) -> Iterator[R]:
    """Yield `function` of each part, in order; for functions that release the interpreter's lock.

    A single part is computed in this thread.

    Args:
        function: what is applied; it may be called in several threads at the same time.
        parts: read as they are needed.
        n_threads: number of threads; None: one per core.
    """
    n_threads = n_threads or usable_cores()
    remaining = iter(parts)
    first = list(islice(remaining, 2))
    if n_threads == 1 or len(first) < 2:
        yield from map(function, chain(first, remaining))
        return
    threads = ThreadPoolExecutor(n_threads)
    begun: deque[Future[R]] = deque()
    try:
        for part in chain(first, remaining):
            begun.append(threads.submit(function, part))
            if len(begun) > AHEAD * n_threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def map_in_processes(
    function: Callable[[P], R], parts: Iterable[P], n_processes: int | None = None
) -> Iterator[R]:
    """Yield `function` of each part, in order; for functions that keep the interpreter busy.

    Up to FEW_PARTS parts are computed in this process. For more, it starts further ones and computes some parts itself.
    A new process imports only the module of `function`. (The processes of `multiprocessing` would import the main
    module of this one again, with all that it imports, or would be copies made while threads run.)

    Args:
        function: what is applied. It, the parts and the results are pickled, so it has to be at the top of a module.
        parts: read as they are needed.
        n_processes: number of processes, with this one; None: one per core.

    Raises:
        BadInput: a process ended early.
        Exception: what `function` raised.
    """
    n_processes = n_processes or usable_cores()
    remaining = iter(parts)
    first = list(islice(remaining, FEW_PARTS + 1))
    if n_processes == 1 or len(first) <= FEW_PARTS:
        yield from map(function, chain(first, remaining))
        return
    with ExitStack() as stack:
        idle: SimpleQueue[Callable[[P], R]] = SimpleQueue()
        idle.put(function)
        for _ in range(n_processes - 1):
            idle.put(stack.enter_context(Worker(function)))

        def apply(part: P) -> R:
            worker = idle.get()
            try:
                return worker(part)
            finally:
                idle.put(worker)

        # Leaving the block, the stack ends the processes after the threads that talk to them.
        yield from map_in_threads(apply, chain(first, remaining), n_processes)


class Worker:
    """A process that applies a function to what it is sent."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        """Start the process. It ends when this one does, however that happens, since its connection is then closed."""
        self._connection, other = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from groundup.parallel.local import serve; serve({other.fileno()})"],
            stdin=subprocess.DEVNULL,
            pass_fds=[other.fileno()],
            process_group=0,  # Ctrl-C reaches this process only, which then ends the other
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        other.close()
        self._connection.send(function)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._process.wait()

    def __call__(self, part: Any) -> Any:
        """Return the function of `part`.

        Raises:
            BadInput: the process ended early.
            Exception: what the function raised.
        """
        try:
            self._connection.send(part)
            succeeded, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise BadInput(
                f"a process that shares the work ended early (exit status {self._process.wait()}; -9 usually means too "
                f"little memory); expected it to finish: free some memory and run again."
            ) from error
        if not succeeded:
            raise result
        return result


def serve(descriptor: int) -> None:
    """Be the process of a `Worker`: read a function and then parts from the connection, and answer each part."""
    connection = Connection(descriptor)
    try:
        function = connection.recv()
        while True:
            part = connection.recv()
            try:
                connection.send((True, function(part)))
            except Exception as error:  # noqa: BLE001 (raised again in the first process)
                connection.send((False, error))
    except (EOFError, OSError):  # the other end is closed
        return
