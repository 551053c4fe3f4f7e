"""Find the modules of the project that a stage's module may import, directly or indirectly, by reading their source.

No code runs. In case of doubt, a module belongs to the result, the closure: imports inside functions count, and so do
those in both branches of a condition, the packages that contain a module, and every string that is the dotted name of a
module. Only two kinds do not count: imports under `if TYPE_CHECKING:`, and those in a package's `__getattr__`, unless a
name that is not a module is imported from the package (`from groundup import load`). The closure is marked as
incomplete if a module has a syntax error, or imports that its source does not name (`importlib.import_module(name)`,
`exec`, pickles).
"""

import ast
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

# path relative to the project's folder -> content of the file, None if there is no file
Code = Callable[[str], bytes | None]

ROOTS = ("src/", "")  # folders in which Python looks for the project's modules

_DYNAMIC_BUILTINS = {"__import__", "exec", "eval"}
_DYNAMIC = {
    *("import_module", "reload", "run_module", "run_path", "exec_module", "load_module", "find_loader"),
    *("module_from_spec", "spec_from_file_location", "LazyLoader", "entry_points", "resolve_name"),
    *("iter_modules", "walk_packages", "meta_path", "path_hooks", "import_string", "builtins"),
    *("pickle", "cloudpickle", "dill", "joblib", "shelve"),
}
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(?=$|:)")  # a.b or a.b:name, at the start of a string


@dataclass(frozen=True)
class Closure:
    """The files that some modules may import; `complete` is False if dynamic imports may reach more."""

    files: frozenset[str]
    complete: bool


@dataclass(frozen=True)
class Imports:
    """The dotted names that one module may import, not all of them modules.

    Attributes:
        names: the names.
        dynamic: whether it may import others too.
        on_demand: those that are imported in its `__getattr__`.
    """

    names: frozenset[str]
    dynamic: bool
    on_demand: frozenset[str] = frozenset()


class Modules:
    """The project's modules in one version, and the imports of each; every file is read at most once."""

    def __init__(self, code: Code) -> None:
        self.code = cache(code)
        self.imports = cache(self._imports)

    def files(self, name: str) -> list[str]:
        """Return the files that `import a.b` runs, those of `a` and of `a.b`; empty for modules outside the project."""
        parts = name.split(".")
        paths = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        files = [f"{root}{path}{end}" for path in paths for root in ROOTS for end in (".py", "/__init__.py")]
        return [file for file in files if self.code(file) is not None]

    def closure(
        self, files: Iterable[str], *, beyond: Collection[str] = (), resolved: Collection[str] = ()
    ) -> Closure:
        """Return all files that some modules may import, including the modules themselves.

        Args:
            files: paths relative to the project's folder.
            beyond: names of modules and packages to leave out.
            resolved: files whose dynamic imports the caller has added to `files`.
        """
        found: set[str] = set()
        complete = True
        todo = list(files)
        while todo:
            if (file := todo.pop()) in found:
                continue
            found.add(file)
            imported, dynamic = self.imports(file)
            complete = complete and (not dynamic or file in resolved)
            for name, its_files in imported.items():
                if not any(name == frame or name.startswith(f"{frame}.") for frame in beyond):
                    todo += its_files
        return Closure(frozenset(found), complete)

    def _imports(self, file: str) -> tuple[dict[str, list[str]], bool]:
        """Return the files that a file may import, by the imported name, and whether it may import others too."""
        imports = imports_of(self.code(file) or b"", _package(file))
        names = imports.names.union(*map(self._on_demand, imports.names))
        files = {name: files for name in names if (files := self.files(name))}
        # the `__all__` of a package may name more modules
        stars = [name.removesuffix(".*") for name in imports.names if name.endswith(".*")]
        return files, imports.dynamic or any(self._is_package(name) for name in stars)

    def _on_demand(self, name: str) -> frozenset[str]:
        """Return what the package that contains `name` imports in `__getattr__`, if `name` is not a module of it."""
        package = name.rpartition(".")[0]
        inside = [
            file for file in self.files(package) if file.endswith(f"{package.replace('.', '/')}/__init__.py")
        ]
        if not inside or self.files(name) != self.files(package):
            return frozenset()
        return imports_of(self.code(inside[0]) or b"", package).on_demand

    def _is_package(self, name: str) -> bool:
        return any(file.endswith(f"{name.replace('.', '/')}/__init__.py") for file in self.files(name))


@cache
def imports_of(source: bytes, package: str) -> Imports:
    """Return the names that a module with this source may import; `package` is the one that contains the module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Imports(frozenset(), dynamic=True)
    nodes = list(_running(tree))
    names = {name for node in nodes for name in _names(node, package)}
    literal = {id(node.func) for node in nodes if isinstance(node, ast.Call) and _names_its_module(node)}
    dynamic = any(id(node) not in literal and _is_dynamic(node) for node in nodes)
    asked = [node for hook in tree.body if _is_hook(hook) for node in ast.walk(hook)]
    return Imports(
        frozenset(names), dynamic, frozenset(name for node in asked for name in _names(node, package))
    )


def _package(file: str) -> str:
    """Return the package that the relative imports of a file start from."""
    root = next(root for root in ROOTS if file.startswith(root))
    return ".".join(PurePosixPath(file.removeprefix(root)).parent.parts)


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a module that can run when it is imported or called.

    Left out are those under `if TYPE_CHECKING:`, if it is typing's constant, and those in `__getattr__`.
    """
    constant = _is_typings_constant(tree)
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if (
            constant
            and isinstance(node, ast.If)
            and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        ):
            nodes.extend(node.orelse)
            continue
        if node in tree.body and _is_hook(node):
            continue
        yield node
        nodes.extend(ast.iter_child_nodes(node))


def _is_hook(node: ast.AST) -> bool:
    """Return whether a node is a module's `__getattr__`, which runs when a name that the module lacks is asked for."""
    return isinstance(node, ast.FunctionDef) and node.name == "__getattr__"


def _is_typings_constant(tree: ast.Module) -> bool:
    """Return whether the names TYPE_CHECKING and typing are bound only by imports of typing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if (node.id if isinstance(node, ast.Name) else node.attr) in ("TYPE_CHECKING", "typing"):
                return False
        elif isinstance(node, ast.Import | ast.ImportFrom):
            origin = node.module if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                bound = alias.asname or alias.name
                if bound == "TYPE_CHECKING" and (origin, alias.name) != ("typing", "TYPE_CHECKING"):
                    return False
                if bound == "typing" and (origin, alias.name) != (None, "typing"):
                    return False
    return True


def _names(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that a node of a module in `package` may import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*parts, *filter(None, [node.module])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if match := _MODULE.match(node.value):
            yield match[0]
    elif isinstance(node, ast.List | ast.Tuple) and isinstance(module := _started(node.elts), ast.Constant):
        yield f"{module.value!s}.__main__"


def _is_dynamic(node: ast.AST) -> bool:
    """Return whether a node may import a module that the source does not name."""
    if isinstance(node, ast.Name):
        return node.id in _DYNAMIC_BUILTINS | _DYNAMIC
    if isinstance(node, ast.Attribute):
        return node.attr in _DYNAMIC
    if isinstance(node, ast.Import | ast.ImportFrom):
        words = {word for alias in node.names for word in alias.name.split(".")}
        words |= set((getattr(node, "module", None) or "").split("."))
        if not any(alias.asname for alias in node.names):
            words.discard("import_module")  # its calls are judged separately
        return bool(words & _DYNAMIC)
    if isinstance(node, ast.keyword):
        return node.arg == "weights_only" and ast.unparse(node.value) != "True"
    module = _started(node.elts) if isinstance(node, ast.List | ast.Tuple) else None
    return module is not None and not isinstance(module, ast.Constant)


def _names_its_module(call: ast.Call) -> bool:
    """Return whether a call is `import_module` with the absolute name of a module as a string."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    match call.args:
        case [ast.Constant(value=str(module))] if name == "import_module" and not call.keywords:
            return not module.startswith(".")
    return False


def _started(words: list[ast.expr]) -> ast.expr | None:
    """Return the module that a command `[sys.executable, "-m", module, …]` runs; None for other lists."""
    for first, flag, module in zip(words, words[1:], words[2:], strict=False):
        if getattr(first, "attr", "") == "executable" and getattr(flag, "value", "") == "-m":
            return module
    return None
