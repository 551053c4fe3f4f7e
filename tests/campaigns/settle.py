"""Edit the code of stages at random, and check whether `pipelines.settle` would run them.

    python -m tests.campaigns.settle --edits 200 --mutations 200 --seed 1

It works in a clone of the last commit, whose stages have not run; `dvc commit` records placeholders for their outputs.
Edits of comments, docstrings, formatting and the order of imported names must all be settled, and mutations of the
code's behaviour never. The oracle is independent of the tested code: bytecode without positions and docstrings is equal
after an edit (except for the order of imported names), and differs after a mutation. First, the modules that Python
loads when it imports a stage are compared with those that the stage can reach.
"""

import argparse
import ast
import copy
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from tests.clone import ROOT

Edit = Callable[[str, random.Random], str]  # source -> source; the same if there is nothing to edit

COMMIT_EVERY = 25  # listings; DVC takes half a second per stage


# --- edits that change nothing -----------------------------------------------------------------------------------


def tokens(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source).readline))


def spliced(source: str, start: tuple[int, int], end: tuple[int, int], text: str) -> str:
    """Replace the source between two positions (lines counted from 1, columns in characters)."""
    lines = source.splitlines(keepends=True)
    lines += [""] * (max(start[0], end[0]) - len(lines))
    before = "".join(lines[: start[0] - 1]) + lines[start[0] - 1][: start[1]]
    return before + text + lines[end[0] - 1][end[1] :] + "".join(lines[end[0] :])


def span(source: str, node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return start and end of a syntax node in characters; ast counts columns in bytes."""
    lines = source.splitlines(keepends=True)

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode())

    start = node.lineno, column(node.lineno, node.col_offset)
    return start, (node.end_lineno, column(node.end_lineno, node.end_col_offset))


def some(rng: random.Random, found: list[Any]) -> Any:
    return rng.choice(found) if found else None


def words(rng: random.Random) -> str:
    return " ".join(rng.choices(["here", "B, T", "why?", "`x`", "later", "é", "noqa", "the", "sum"], k=3))


def add_comment_line(source: str, rng: random.Random) -> str:
    ends = [token.end for token in tokens(source) if token.type in (tokenize.NEWLINE, tokenize.NL)]
    line, _ = some(rng, ends) or (0, 0)
    return (
        spliced(source, (line + 1, 0), (line + 1, 0), f"{' ' * rng.randrange(9)}# {words(rng)}\n")
        if line
        else source
    )


def add_trailing_comment(source: str, rng: random.Random) -> str:
    at = some(rng, [token.start for token in tokens(source) if token.type in (tokenize.NEWLINE, tokenize.NL)])
    return spliced(source, at, at, f"  # {words(rng)}") if at else source


def remove_comment(source: str, rng: random.Random) -> str:
    token = some(rng, [token for token in tokens(source) if token.type == tokenize.COMMENT])
    return spliced(source, token.start, token.end, "") if token else source


def add_blank_lines(source: str, rng: random.Random) -> str:
    ends = [token.end for token in tokens(source) if token.type in (tokenize.NEWLINE, tokenize.NL)]
    line, _ = some(rng, ends) or (0, 0)
    return spliced(source, (line + 1, 0), (line + 1, 0), "\n" * rng.randint(1, 3)) if line else source


def documented(tree: ast.Module) -> Iterator[tuple[Any, ast.Expr | None]]:
    """Yield modules, classes and functions, each with its docstring; None without one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            yield node, first if text and isinstance(first.value.value, str) else None


def change_docstring(source: str, rng: random.Random) -> str:
    doc = some(rng, [doc for _, doc in documented(ast.parse(source)) if doc])
    return spliced(source, *span(source, doc), f'"""{words(rng)}\n\n    {words(rng)}."""') if doc else source


def remove_docstring(source: str, rng: random.Random) -> str:
    doc = some(rng, [doc for _, doc in documented(ast.parse(source)) if doc])
    return spliced(source, *span(source, doc), "pass") if doc else source


def add_docstring(source: str, rng: random.Random) -> str:
    bare = [
        node.body[0]
        for node, doc in documented(ast.parse(source))
        if not doc and node.body[0].lineno > getattr(node, "lineno", 0) and not isinstance(node, ast.Module)
    ]
    first = some(rng, [node for node in bare if not getattr(node, "decorator_list", [])])
    if not first or source.splitlines()[first.lineno - 1][: first.col_offset].strip():
        return source
    at = (first.lineno, 0)
    return spliced(source, at, at, f'{" " * first.col_offset}"""{words(rng)}."""\n')


def inner(source: str) -> Iterator[tuple[tokenize.TokenInfo, int]]:
    """Yield tokens with the number of enclosing brackets."""
    depth = 0
    for token in tokens(source):
        depth += token.string in ("(", "[", "{") if token.type == tokenize.OP else 0
        yield token, depth
        depth -= token.string in (")", "]", "}") if token.type == tokenize.OP else 0


def break_line(source: str, rng: random.Random) -> str:
    at = some(
        rng, [t.end for t, depth in inner(source) if t.string == "," and t.type == tokenize.OP and depth]
    )
    return spliced(source, at, at, f"\n{' ' * rng.randrange(20)}") if at else source


def add_spaces(source: str, rng: random.Random) -> str:
    at = some(rng, [t.end for t, _ in inner(source) if t.type == tokenize.OP and t.string in ",=+-*/("])
    return spliced(source, at, at, " " * rng.randint(1, 3)) if at else source


def add_parentheses(source: str, rng: random.Random) -> str:
    tree = ast.parse(source)
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.JoinedStr) for n in ast.walk(f)}
    kinds = (ast.BinOp, ast.Call, ast.Compare, ast.Name, ast.Attribute, ast.BoolOp, ast.Dict)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        and id(node) not in inside
    ]
    if not (node := some(rng, found)):
        return source
    start, end = span(source, node)
    return spliced(spliced(source, end, end, ")"), start, start, "(")


def change_quotes(source: str, rng: random.Random) -> str:
    plain = [
        token
        for token in tokens(source)
        if token.type == tokenize.STRING
        and token.string[0] == '"'
        and not set(token.string[1:-1]) & set("\"'\\")
    ]
    token = some(rng, plain)
    return spliced(source, token.start, token.end, f"'{token.string[1:-1]}'") if token else source


def reformat(source: str, rng: random.Random) -> str:
    return ast.unparse(ast.parse(source)) + "\n"


def use_crlf(source: str, rng: random.Random) -> str:
    return source.replace("\n", "\r\n")


def end_otherwise(source: str, rng: random.Random) -> str:
    return source.rstrip("\n") + rng.choice(["", "\n\n\n", "\n# end", "\n\f\n"])


def name_encoding(source: str, rng: random.Random) -> str:
    return f"# -*- coding: utf-8 -*-\n{source}"


def shuffle_imported_names(source: str, rng: random.Random) -> str:
    tree = ast.parse(source)
    node = some(rng, [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and len(n.names) > 1])
    if not node:
        return source
    start, end = span(source, node)
    node.names.append(node.names.pop(0))
    if rng.random() < 0.5:
        rng.shuffle(node.names)
    return spliced(source, start, end, ast.unparse(node))


EDITS: tuple[Edit, ...] = (
    add_comment_line,
    add_trailing_comment,
    remove_comment,
    add_blank_lines,
    change_docstring,
    remove_docstring,
    add_docstring,
    break_line,
    add_spaces,
    add_parentheses,
    change_quotes,
    reformat,
    use_crlf,
    end_otherwise,
    name_encoding,
    shuffle_imported_names,
)


# --- mutations of what the code does -----------------------------------------------------------------------------

Mutation = Callable[[ast.Module, random.Random], object]  # changes a tree in place, if it finds what it needs


def nodes(tree: ast.AST, *kinds: type) -> list[Any]:
    """Return the nodes of some kinds, but no constants that are statements by themselves, such as docstrings."""
    idle = {
        id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and id(node) not in idle]


def bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    found = [
        getattr(node, field, None) for node in ast.walk(tree) for field in ("body", "orelse", "finalbody")
    ]
    return [body for body in found if isinstance(body, list) and body]


def change_constant(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.Constant)):
        value = node.value
        if isinstance(value, bool):
            node.value = not value
        elif isinstance(value, int | float):
            node.value = value + rng.choice([1, 0.5])
        elif isinstance(value, str):
            node.value = value + rng.choice([" ", "x", "\n"])
        else:
            node.value = 17


def change_operator(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.BinOp)):
        node.op = rng.choice(
            [op() for op in (ast.Add, ast.Sub, ast.Mult, ast.Div) if not isinstance(node.op, op)]
        )


def change_comparison(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.Compare)):
        node.ops[0] = rng.choice(
            [op() for op in (ast.Lt, ast.GtE, ast.Eq, ast.IsNot) if not isinstance(node.ops[0], op)]
        )


def swap_and_or(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.BoolOp)):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def negate_condition(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.If, ast.While, ast.IfExp)):
        node.test = ast.UnaryOp(ast.Not(), node.test)


def swap_arguments(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, [n for n in nodes(tree, ast.Call) if len(n.args) > 1]):
        node.args[0], node.args[1] = node.args[1], node.args[0]


def delete_statement(tree: ast.Module, rng: random.Random) -> None:
    body = rng.choice(bodies(tree))
    body[rng.randrange(len(body))] = ast.Pass()


def swap_statements(tree: ast.Module, rng: random.Random) -> None:
    if body := some(rng, [body for body in bodies(tree) if len(body) > 1]):
        at = rng.randrange(len(body) - 1)
        body[at], body[at + 1] = body[at + 1], body[at]


def rename_attribute(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.Attribute)):
        node.attr += "_"


def rename_variable(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.Name)):
        node.id += "_"


def change_default(tree: ast.Module, rng: random.Random) -> None:
    arguments = some(rng, [n for n in nodes(tree, ast.arguments) if n.defaults or any(n.kw_defaults)])
    if arguments:
        group = arguments.defaults or arguments.kw_defaults
        group[rng.randrange(len(group))] = ast.Constant(-3)


def change_fstring(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.JoinedStr)):
        node.values.insert(rng.choice([0, len(node.values)]), ast.Constant(rng.choice(["!", " ", "x"])))


def change_decorator(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.FunctionDef, ast.ClassDef)):
        if node.decorator_list and rng.random() < 0.5:
            node.decorator_list.pop()
        else:
            node.decorator_list.append(ast.Name("mutant", ast.Load()))


def change_keyword(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, [n for n in nodes(tree, ast.keyword) if n.arg]):
        node.arg += "_"


def change_return(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, [n for n in nodes(tree, ast.Return) if n.value]):
        node.value = ast.Constant(None)


def change_import(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.Import, ast.ImportFrom)):
        alias = rng.choice(node.names)
        alias.name, alias.asname = alias.name + "_", alias.asname or alias.name.partition(".")[0]


def change_bases(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, nodes(tree, ast.ClassDef)):
        node.bases = node.bases[:-1] if node.bases else [ast.Name("Mutant", ast.Load())]


def change_annotation(tree: ast.Module, rng: random.Random) -> None:
    if node := some(rng, [n for n in nodes(tree, ast.AnnAssign, ast.arg) if n.annotation]):
        node.annotation = ast.Name("Mutant", ast.Load())


def add_statement(tree: ast.Module, rng: random.Random) -> None:
    body = rng.choice(bodies(tree))
    late = min(1, len(body))  # a docstring must stay first
    body.insert(rng.randint(late, len(body)), ast.parse("mutant()").body[0])


MUTATIONS: tuple[Mutation, ...] = (
    change_constant,
    change_operator,
    change_comparison,
    swap_and_or,
    negate_condition,
    swap_arguments,
    delete_statement,
    swap_statements,
    rename_attribute,
    rename_variable,
    change_default,
    change_fstring,
    change_decorator,
    change_keyword,
    change_return,
    change_import,
    change_bases,
    change_annotation,
    add_statement,
)


# --- the oracle: bytecode ----------------------------------------------------------------------------


def bytecode(source: str) -> Any:
    """Return the bytecode without line numbers, docstrings and `pass`."""
    tree = ast.parse(source)
    for body in bodies(tree):
        rest = [node for node in body if not isinstance(node, ast.Pass) and not is_constant(node)]
        body[:] = rest or [ast.copy_location(ast.Pass(), body[0])]
    for node in ast.walk(tree):
        for place in {"lineno", "end_lineno", "col_offset", "end_col_offset"} & set(dir(node)):
            setattr(node, place, 1)  # the compiler puts a NOP where a line begins

    def facts(code: CodeType) -> Any:
        constants = [
            facts(c) if isinstance(c, CodeType) else (type(c).__name__, repr_of(c)) for c in code.co_consts
        ]
        variables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        return code.co_name, code.co_code, code.co_exceptiontable, constants, variables, counts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mutants that compare with `is`
        return facts(compile(tree, "module", "exec", dont_inherit=True))


def is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def repr_of(constant: Any) -> str:
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)


def edited(source: str, rng: random.Random) -> tuple[str, str]:
    """Return a source with the same behaviour, and the name of the edit."""
    while True:
        edit = rng.choice(EDITS)
        text = edit(source, rng)
        if text == source:
            continue
        if edit is not shuffle_imported_names and bytecode(text) != bytecode(source):
            raise AssertionError(f"{edit.__name__} changed what the code does:\n{text}")
        return text, edit.__name__


def mutated(source: str, rng: random.Random) -> tuple[str, str]:
    """Return a source with different behaviour, and the name of the mutation."""
    before = bytecode(source)
    while True:
        mutation = rng.choice(MUTATIONS)
        tree = copy.deepcopy(_tree(source))
        mutation(tree, rng)
        try:
            text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
            if bytecode(text) != before:
                return text, mutation.__name__
        except (SyntaxError, ValueError):  # such as a `return` outside a function
            continue


@cache
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


# --- the campaign -------------------------------------------------------------------------------------------------


def recorded_clone(folder: Path) -> Path:
    """Return a clone in which every stage is recorded as done, with placeholders for data outside git."""
    from dvc.repo import Repo

    project = folder / "clone"
    if project.exists():
        return project
    run(folder, "git", "clone", "--quiet", str(ROOT), str(project))
    with Repo(str(project)) as repo:
        stages = [stage for stage in repo.index.stages if stage.cmd]
        paths = {item.fs_path for stage in stages for item in [*stage.deps, *stage.outs] if item.is_in_repo}
    for path in sorted(map(Path, paths), reverse=True):  # files before their folder
        if path.exists():
            continue
        file = path if path.suffix else path / "file"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"placeholder for {path.relative_to(project)}\n", encoding="utf-8")
    run(project, sys.executable, "-m", "dvc", "commit", "--quiet", "--force")
    run(project, "git", "add", "--update")
    run(project, "git", *AUTHOR, "commit", "--quiet", "--message", "placeholders")
    return project


AUTHOR = ("-c", "user.name=campaign", "-c", "user.email=campaign@example.org")


def address(stage: Any) -> str:
    return f"{stage.path_in_repo}:{stage.name}"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def reached_files(project: Path) -> dict[str, list[str]]:
    """Return, for each stage, the modules among its dependencies that it can reach."""
    from dvc.repo import Repo

    from pipelines.rooms import modules_of
    from pipelines.settle import reach

    found, modules = {}, modules_of(project)
    with Repo(str(project)) as repo:
        for stage in repo.index.stages:
            if not stage.cmd:
                continue
            deps = [Path(dep.fs_path).relative_to(project) for dep in stage.deps if dep.is_in_repo]
            closure = reach(stage.cmd, modules)
            assert closure.complete, f"all of the project counts as reachable for {stage.addressing}"
            found[address(stage)] = sorted(
                file for file in closure.files if any(Path(file).is_relative_to(dep) for dep in deps)
            )
    return found


def compare_with_python(project: Path) -> int:
    """Fail if importing a stage loads a module outside its closure; return the number of stages compared."""
    from dvc.repo import Repo

    from pipelines.rooms import modules_of
    from pipelines.settle import reach

    modules = modules_of(project)
    with Repo(str(project)) as repo:
        commands = {
            f"pipelines.{stage.cmd.split()[3]}": stage.cmd for stage in repo.index.stages if stage.cmd
        }
    script = (
        "import importlib, json, sys, pipelines.run; importlib.import_module(sys.argv[1]); "
        "print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    )
    environment = os.environ | {"PYTHONPATH": f"{project / 'src'}{os.pathsep}{project}"}
    for module, command in commands.items():
        done = subprocess.run(
            [sys.executable, "-c", script, module],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        files = {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}
        loaded = {str(f.relative_to(project)) for f in files if f.is_relative_to(project)}
        reached = reach(command, modules).files
        assert loaded <= reached, f"{module} loads {sorted(loaded - reached)}"
    return len(commands)


def trial(
    project: Path, stages: dict[str, list[str]], rng: random.Random, change: Any, together: int
) -> tuple[list[dict[str, Any]], list[Any], float]:
    """Change some files that stages can reach, and list what is stale.

    Returns:
        For each change: the number of stages that it concerns, of those that name it as a reason, and of those that
        have no reason at all. Then the stale stages, and the seconds that listing them took.
    """
    from pipelines.settle import stale_stages

    changes: dict[str, str] = {}
    for _ in range(together):
        file = rng.choice(stages[rng.choice([name for name, files in stages.items() if files])])
        with open(project / file, encoding="utf-8", newline="") as opened:
            text, changes[file] = change(opened.read(), rng)
        with open(project / file, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
    begun = time.perf_counter()
    stale = stale_stages(project)
    seconds = round(time.perf_counter() - begun, 2)
    reasons = {
        found.name if ":" in found.name else f"dvc.yaml:{found.name}": found.reasons for found in stale
    }
    done = []
    for file, name in changes.items():
        concerned = [stage for stage, files in stages.items() if file in files]
        assert reasons.keys() >= set(concerned), f"{file} changed, and DVC calls only {sorted(reasons)} stale"
        blamed = [stage for stage in concerned if any(why.startswith(f"{file}:") for why in reasons[stage])]
        idle = [stage for stage in concerned if not reasons[stage]]
        counts = {"concerned": len(concerned), "blamed": len(blamed), "idle": len(idle)}
        done.append({"file": file, "change": name, **counts})
    return done, stale, seconds


def main() -> None:
    """Run the campaign; exit with 1 if an edit was not settled, or a mutation was."""
    from pipelines.settle import settle, stale_stages

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--edits", type=int, default=200, help="number of edits, which must be settled")
    parser.add_argument(
        "--mutations", type=int, default=200, help="number of mutations, which must not be settled"
    )
    parser.add_argument("--together", type=int, default=4, help="changes per listing, each judged separately")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--project", type=Path, help="folder in which the clone is kept for the next campaign"
    )
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    folder = arguments.project or Path(tempfile.mkdtemp(prefix="groundup-settle-"))
    folder.mkdir(parents=True, exist_ok=True)
    project = recorded_clone(folder).resolve()
    run(project, "git", "checkout", "--quiet", ".")
    assert stale_stages(project) == [], "the clone is not up to date before the first change"
    stages = reached_files(project)
    print(f"{compare_with_python(project)} stages load nothing that they cannot reach", flush=True)
    settled, all_seconds = Counter[str](), []
    for kind, count, change in (
        ("edit", arguments.edits, edited),
        ("mutation", arguments.mutations, mutated),
    ):
        number = 0
        while number < count:
            done, stale, seconds = trial(
                project, stages, rng, change, min(arguments.together, count - number)
            )
            all_seconds.append(seconds)
            for one in done:
                number += 1
                # an edit is settled if no stage has a reason; a mutation, if it is none for one of its stages
                is_settled = one["idle" if kind == "edit" else "blamed"] == one["concerned"]
                is_settled = is_settled if kind == "edit" else not is_settled
                settled[kind] += is_settled
                print(
                    json.dumps({kind: number, "settled": is_settled, **one, "seconds": seconds}), flush=True
                )
                if is_settled != (kind == "edit"):
                    print((project / one["file"]).read_text(encoding="utf-8"), file=sys.stderr, flush=True)
            if kind == "edit" and len(all_seconds) % COMMIT_EVERY == 0:
                settle(project, stale)
                assert stale_stages(project) == []
            run(project, "git", "checkout", "--quiet", ".")
    print(
        f"settled: {settled['edit']} of {arguments.edits} edits, "
        f"{settled['mutation']} of {arguments.mutations} mutations; "
        f"a listing took {sum(all_seconds) / max(len(all_seconds), 1):.1f} s, "
        f"at most {max(all_seconds, default=0):.1f} s"
    )
    sys.exit(settled["edit"] < arguments.edits or settled["mutation"] > 0)


if __name__ == "__main__":
    main()
