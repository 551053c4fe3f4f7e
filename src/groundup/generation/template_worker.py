"""The process that renders chat templates: a template is a program from outside, and may need any time and memory.

It runs as a script and imports nothing of groundup, so that it starts quickly, with an empty environment, no place to
write files and a limit of memory. It reads one JSON object per line from standard input, {"source", "values"}, and
answers each with one line: {"text"}, or {"stage": "compile" | "render", "error"}. See `template_process`.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

sys.path += sys.argv[1:]  # where Jinja is, if this is a process of its own

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MEMORY = 2**30  # bytes of address space
LONGEST = 2**24  # characters of a rendered text, 128 for each of 131,072 tokens


class TooLong(Exception):
    """A template has written more than `LONGEST` characters."""


class _Generation(Extension):
    """The Jinja block `{% generation %}` ... `{% endgeneration %}` of chat templates.

    It marks the text that the assistant writes, and does not change it.
    """

    tags = {"generation"}  # noqa: RUF012  Jinja's own attribute

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the block as a call, as transformers does: variables set in it are not visible later."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Callable[[], str]) -> str:
        return caller()


class _PublicNamespace(Namespace):
    """Jinja's `namespace`, restricted to names without a leading underscore.

    Other names would give a chat template access to Python's own attributes.
    """

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(
                f"a namespace takes no name that begins with an underscore: {name}"
            )
        super().__setitem__(name, value)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> Any:
    raise jinja2.TemplateError(message)


@lru_cache(maxsize=16)
def compiled(source: str) -> jinja2.Template:
    """Compile a template for the environment of transformers: the same settings, names and filters."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _refuse,
        "strftime_now": lambda format: datetime.now().strftime(format),
        "namespace": _PublicNamespace,
    }
    return environment.from_string(source)


def rendered(template: jinja2.Template, values: dict[str, Any]) -> str:
    """Render a template.

    Raises:
        TooLong: the text is too long.
    """
    parts, size = [], 0
    for part in template.generate(values):
        size += len(part)
        if size > LONGEST:
            raise TooLong(f"it has written more than {LONGEST:,} characters")
        parts.append(part)
    return "".join(parts)


def answer(source: str, values: dict[str, Any]) -> dict[str, str]:
    """Return the answer to a request."""
    stage = "compile"
    try:
        template = compiled(source)
        stage = "render"
        return {"text": rendered(template, values)}
    except MemoryError:
        fault = f"MemoryError: it needs more than {MEMORY:,} bytes"
    except RecursionError:
        fault = "RecursionError: it is nested too deeply"
    except Exception as error:  # noqa: BLE001  a template can fail in any way
        fault = f"{type(error).__name__}: {error}"
    return {"stage": stage, "error": fault[:1000]}


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":  # macOS does not keep such a limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin.buffer:
        request = json.loads(line)
        sys.stdout.write(json.dumps(answer(request["source"], request["values"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
