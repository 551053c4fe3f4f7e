"""The meaning of Python source: what remains without comments, docstrings and formatting.

Two modules of equal meaning behave the same. The meaning is the syntax tree without positions, without statements
that do nothing (docstrings, other bare constants, `pass`), and with the names inside one `from x import b, a` sorted;
the order of statements counts. The meaning of a module that cannot be parsed is its text.

Some code reads docstrings or source text at run time. If a module names `__doc__` or builds a command line from its
docstrings, they are part of its meaning; if it reads source text, its meaning is its text. `detail` returns how much of
other modules a module may read.
"""

import ast
import hashlib
import warnings
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any


class Detail(IntEnum):
    """How much of a Python module's text is part of its meaning."""

    STATEMENTS = 0
    DOCSTRINGS = 1
    TEXT = 2


# Names with which code reads what a meaning leaves out: docstrings of its own module, of any module, or source text.
# Each list is one string, so that this module does not appear to use the names itself.
_OWN_DOCSTRINGS = set("typer click own:__doc__".split())
_DOCSTRINGS = set("__doc__ getdoc get_docstring pydoc doctest json_schema model_json_schema".split())
_TEXT = set(
    "getsource getsourcelines getblock getcomments findsource linecache "
    "f_lineno tb_lineno co_firstlineno co_lines getframeinfo "
    "use_attribute_docstrings "  # pydantic
    "jit".split()  # TorchScript reads comments that give types
)
_TREES = (ast.AST, list)


def meaning(source: bytes, least: Detail = Detail.STATEMENTS) -> str:
    """Return the meaning of a Python module as a line of text, equal for modules that behave the same.

    Args:
        source: the content of the module's file, in any encoding that Python accepts.
        least: the detail that is always kept, because other code may read it.
    """
    tree = _parsed(source)
    if tree is None or max(least, own := _own_detail(tree)) is Detail.TEXT:
        return f"text {source!r}"
    return _written([tree], max(least, own))


@cache
def detail(source: bytes) -> Detail:
    """Return how much of other modules' source a Python module may read when it runs.

    It is TEXT if the module cannot be parsed.
    """
    tree = _parsed(source)
    return Detail.TEXT if tree is None else _detail(_identifiers(tree))


def changed_definitions(old: bytes, new: bytes, least: Detail = Detail.STATEMENTS) -> list[str]:
    """List the functions, methods and classes in which the meanings of two versions of a module differ.

    Statements outside functions belong to their class or to "module level". The list is empty for equal meanings.
    """
    if meaning(old, least) == meaning(new, least):
        return []
    before, after = _parsed(old), _parsed(new)
    if before is None or after is None:
        return ["module level"]
    least = max(least, _own_detail(before), _own_detail(after))
    if least is Detail.TEXT:
        return ["its text"]
    ours, theirs = (
        {name: _written(nodes, least) for name, nodes in _definitions(tree).items()}
        for tree in (before, after)
    )
    changed = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return changed or ["the order of its definitions"]


@cache
def package_fingerprint(folder: Path) -> str:
    """Return the SHA-256 of the paths and meanings of all modules below a folder, read once per process."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        line = f"{path.relative_to(folder).as_posix()} {meaning(path.read_bytes())}\n"
        digest.update(line.encode(errors="surrogatepass"))
    return digest.hexdigest()


def _parsed(source: bytes) -> ast.Module | None:
    """Return the syntax tree, or None if Python cannot parse the module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _written(nodes: list[Any], least: Detail) -> str:
    parts: list[str] = []
    _write(nodes, parts.append, least is Detail.STATEMENTS)
    return " ".join(parts)


def _write(value: Any, add: Callable[[str], object], lean: bool) -> None:
    """Write a node, a list of nodes or a leaf; only lists need brackets, since a node class fixes its fields."""
    if isinstance(value, ast.AST):
        add(type(value).__name__)
        for field in value._fields:
            inner = getattr(value, field, None)
            if field == "names" and isinstance(value, ast.ImportFrom):
                inner = _sorted_names(value.names)
            _write(inner, add, lean)
    elif isinstance(value, list):
        add("[")
        for item in value:
            if not (lean and _does_nothing(item)):
                _write(item, add, lean)
        add("]")
    else:
        add(repr(value))


def _does_nothing(node: Any) -> bool:
    """Return whether a statement is a docstring, another bare constant or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _sorted_names(names: list[ast.alias]) -> list[ast.alias]:
    """Return the names of an import in alphabetical order, or unsorted if one is bound twice: then the last wins."""
    bound = {alias.asname or alias.name for alias in names}
    return sorted(names, key=lambda a: (a.name, a.asname or "")) if len(bound) == len(names) else names


def _identifiers(tree: ast.AST) -> set[str]:
    """Return all names that a module uses, and its strings; a bare name such as `__doc__` gets the prefix "own:"."""
    found: set[str] = set()
    todo: list[Any] = [tree]
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind is list:
            todo += [inner for inner in node if isinstance(inner, ast.AST)]
            continue
        if kind is ast.Name:
            found.add(f"own:{node.id}" if node.id.startswith("__") else node.id)
            continue
        if kind is ast.Constant:
            if isinstance(node.value, str):
                found.add(node.value)
            continue
        if kind is ast.Attribute:
            found.add(node.attr)
        elif kind is ast.alias:
            found.update(node.name.split("."))
        elif kind is ast.ImportFrom:
            found.update((node.module or "").split("."))
        elif kind is ast.keyword:
            found.add(node.arg or "")
        todo += [inner for field in node._fields if isinstance(inner := getattr(node, field, None), _TREES)]
    return found


def _detail(names: set[str]) -> Detail:
    if names & _TEXT:
        return Detail.TEXT
    return Detail.DOCSTRINGS if names & _DOCSTRINGS else Detail.STATEMENTS


def _own_detail(tree: ast.AST) -> Detail:
    """Return how much of its own source a module may read when it runs."""
    names = _identifiers(tree)
    return max(_detail(names), Detail.DOCSTRINGS if names & _OWN_DOCSTRINGS else Detail.STATEMENTS)


def _definitions(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Return the parts of a module by name: functions, methods, and the statements outside them."""
    found: dict[str, list[ast.AST]] = {}

    def collect(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            name = f"{owner}.{node.name}" if owner and hasattr(node, "name") else getattr(node, "name", "")
            if isinstance(node, ast.ClassDef):
                head = [*node.decorator_list, *node.bases, *node.keywords]
                found.setdefault(name, []).extend(head)
                collect(node.body, name)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(name, []).append(node)
            else:
                found.setdefault(owner or "module level", []).append(node)

    collect(tree.body, "")
    return found
