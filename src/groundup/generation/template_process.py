"""Render chat templates in another process, which is killed if a template takes too long."""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 10.0  # longest time of one rendering
WORKER = Path(__file__).with_name("template_worker.py")


class TemplateFault(Exception):
    """A template could not be rendered.

    Attributes:
        stage: "compile" if the template is no valid Jinja, else "render".
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class TemplateProcess:
    """The process, started when it is needed first; a forked process starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def render(self, source: str, values: Mapping[str, Any]) -> str:
        """Render a template, given as Jinja, with these values, which JSON can hold.

        Raises:
            TemplateFault: it is not valid, it fails, or it exceeds a limit of time, memory or length.
        """
        request = json.dumps({"source": source, "values": values}).encode() + b"\n"
        with self._lock:
            process = self._running()
            try:
                answer = self._ask(process, request)
            except BaseException:  # half an answer may be on its way
                self.close()
                raise
        if "text" not in answer:
            raise TemplateFault(answer["stage"], answer["error"])
        return str(answer["text"])

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            import jinja2
            import markupsafe

            places = {str(Path(str(module.__file__)).parents[1]) for module in (jinja2, markupsafe)}
            kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-I", WORKER, *sorted(places)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=kept,
                cwd="/",
            )
            self._owner = os.getpid()
        return self._process

    def _ask(self, process: "subprocess.Popen[bytes]", request: bytes) -> dict[str, str]:
        """Send a request and return the answer; the pipes are read and written as far as they can take it."""
        assert process.stdin is not None and process.stdout is not None
        until, sent, received = time.monotonic() + SECONDS, 0, bytearray()
        into, out = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(into, False)
        while not received.endswith(b"\n"):
            left = until - time.monotonic()
            writing = [into] if sent < len(request) else []
            readable, writable, _ = select.select([out], writing, [], max(left, 0.0))
            if not readable and not writable:
                raise TemplateFault("render", f"it takes longer than {SECONDS:g} s")
            try:
                if writable:
                    sent += os.write(into, request[sent : sent + 2**16])
            except BrokenPipeError:
                pass  # the end of its output says so, too
            if readable:
                part = os.read(out, 2**16)
                if not part:
                    raise TemplateFault("render", "it has ended the process that renders it")
                received += part
        return dict(json.loads(received))


PROCESS = TemplateProcess()
atexit.register(PROCESS.close)
