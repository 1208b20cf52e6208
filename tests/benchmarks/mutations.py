"""Change the code in small ways and count how many of the changes the tests notice.

    python -m tests.benchmarks.mutations [--seed 0] [--per-module 6] [--module NAME] [--list]

Each change (a mutant) is one operator, one constant or one condition of one module. The tests of
that module then run in a copy of the repository: a mutant counts as caught if a test fails, or if
they take more than ten times as long as without it. Changes of texts, annotations and of what is
raised are left out. The sample is drawn at random from all changes that are possible, by `--seed`.
A mutant that changes nothing that can be seen counts as missed; the list at the end names them all.

The method: DeMillo, Lipton & Sayward, "Hints on test data selection", IEEE Computer 11 (1978).
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each module, and the tests that are to notice a change of it.
MODULES = {
    "fercore/metrics/counts.py": ["tests/metrics/test_metrics.py"],
    "fercore/metrics/paired_tests.py": [
        "tests/metrics/test_paired_tests.py",
        "tests/metrics/test_clustered.py",
    ],
    "fercore/metrics/calibration.py": ["tests/metrics/test_metrics.py"],
    "fercore/data/splitting.py": [
        "tests/data/test_splitting.py",
        "tests/evaluation/test_protocol.py",
    ],
    "fercore/runs/reader.py": [
        *("tests/runs/test_reader.py", "tests/runs/test_annotations.py"),
        *("tests/runs/test_locks.py", "tests/runs/test_migration.py"),
        "tests/hostile/test_run_folders.py",
    ],
    "fercore/reproduction/papers.py": ["tests/reproduction/test_papers.py"],
    "fercore/importers/import_run.py": [
        *("tests/importers/test_import_run.py", "tests/hostile/test_hostile_networks.py"),
        "tests/hostile/test_import_command.py",
    ],
    "fercore/faces/detection.py": ["tests/faces/test_detection.py"],
    "fercore/faces/tracker.py": ["tests/faces/test_tracker.py"],
    "dashboard/analysis/run_properties.py": [
        "tests/dashboard/analysis/test_run_properties.py",
        "tests/dashboard/analysis/test_board_grouping.py",
    ],
}

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: path from the repository's root.
        line: from 1, where the change begins.
        start: byte at which it begins.
        end: byte after what is replaced.
        new: what stands there instead.
        old: what stood there.
    """

    module: str
    line: int
    start: int
    end: int
    new: str
    old: str

    def apply(self, source: bytes) -> bytes:
        """Return the module's source with the change."""
        return source[: self.start] + self.new.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.old} -> {self.new}"


class _Mutants(ast.NodeVisitor):
    """Collects every change of one module that is possible."""

    def __init__(self, module: str, source: bytes):
        self.module, self.source = module, source
        self.found: list[Mutant] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.visit(ast.parse(source))

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            self._between(left, right, _COMPARISONS.get(type(operator)))
            left = right
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        words = _ARITHMETIC.get(type(node.op))
        joins_a_path = isinstance(node.op, ast.Div) and any(
            isinstance(side, ast.Constant) and isinstance(side.value, str)
            for side in (node.left, node.right)
        )
        if not joins_a_path:
            self._between(node.left, node.right, words)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, words)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start = self._place(node)[0]
            self._add(node.lineno, start, start + len("not"), "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node.lineno, *self._place(node), str(not value))
        elif isinstance(value, int | float):
            self._add(node.lineno, *self._place(node), repr(value + 1))

    def visit_If(self, node: ast.If) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Pass over what is raised: mostly texts."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Pass over what is asserted: it never fails."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Pass over formatted texts."""

    def _negate(self, test: ast.expr) -> None:
        start, end = self._place(test)
        self._add(test.lineno, start, end, f"not ({self.source[start:end].decode()})")

    def _between(self, left: ast.expr, right: ast.expr, words: tuple[str, str] | None) -> None:
        if words is None:
            return
        start, end = self._place(left)[1], self._place(right)[0]
        found = self.source[start:end].find(words[0].encode())
        if found >= 0:
            line = self.source.count(b"\n", 0, start + found) + 1
            self._add(line, start + found, start + found + len(words[0]), words[1])

    def _place(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _add(self, line: int, start: int, end: int, new: str) -> None:
        old = self.source[start:end].decode()
        mutant = Mutant(self.module, line, start, end, new, old)
        try:
            ast.parse(mutant.apply(self.source))
        except SyntaxError:
            return
        self.found.append(mutant)


def sample(module: str, count: int, seed: int) -> list[Mutant]:
    """Draw changes of a module, at most one of each line, in the order of the lines."""
    found = _Mutants(module, (ROOT / module).read_bytes()).found
    random.Random(f"{seed} {module}").shuffle(found)
    by_line: dict[int, Mutant] = {}
    for mutant in found:
        by_line.setdefault(mutant.line, mutant)
    return sorted(list(by_line.values())[:count], key=lambda mutant: mutant.line)


def copy_repository(folder: Path) -> None:
    """Copy every file that git knows, or would add, into a folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def run_tests(folder: Path, tests: list[str], limit: float) -> tuple[bool, float]:
    """Run tests in the copy; whether they pass within a limit in seconds, and how long it took."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("FERCORE_DATA", str(ROOT / "data"))
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return False, limit
    return ended.returncode == 0, time.monotonic() - began


def survivors(folder: Path, mutants: list[Mutant]) -> Iterator[Mutant]:
    """Yield the changes that their module's tests do not notice.

    Raises:
        SystemExit: if the tests fail on the unchanged code.
    """
    limits: dict[str, float] = {}
    for mutant in mutants:
        tests = MODULES[mutant.module]
        if mutant.module not in limits:
            passed, seconds = run_tests(folder, tests, 1200)
            if not passed:
                raise SystemExit(f"{' '.join(tests)} fails on the unchanged code")
            limits[mutant.module] = 10 * seconds + 10
        file = folder / mutant.module
        source = file.read_bytes()
        file.write_bytes(mutant.apply(source))
        passed, seconds = run_tests(folder, tests, limits[mutant.module])
        file.write_bytes(source)
        print(f"{'MISSED' if passed else 'caught'}  {seconds:5.0f} s  {mutant}", flush=True)
        if passed:
            yield mutant


def main() -> None:
    """Draw a sample, run it, and print how many changes were caught and which were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-module", type=int, default=6)
    parser.add_argument("--module", help="only modules whose path contains this")
    parser.add_argument("--list", action="store_true", help="print the changes, run nothing")
    given = parser.parse_args()
    modules = [name for name in MODULES if not given.module or given.module in name]
    mutants = [m for name in modules for m in sample(name, given.per_module, given.seed)]
    if given.list:
        print(*mutants, sep="\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        missed = list(survivors(Path(folder), mutants))
    print(f"\n{len(mutants) - len(missed)} of {len(mutants)} caught")
    print(*missed, sep="\n")


if __name__ == "__main__":
    main()
