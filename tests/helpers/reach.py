"""Which modules of the library a script reaches: by what it imports and calls, symbol by symbol."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from revoice.files import PACKAGE
from revoice.workflow.code import Bare


@dataclass
class Module:
    """What the names of a module are, and which names each of them uses."""

    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # module, symbol
    uses: dict[str, ast.AST] = field(default_factory=dict)  # symbol, or Class.method
    body: list[ast.AST] = field(default_factory=list)  # what runs when it is imported


@cache
def read(path: Path) -> Module:
    """A module's or script's symbols; annotations do not count, those in class bodies excepted."""
    module = Module()
    tree = Bare().visit(ast.parse(path.read_text("utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("revoice"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = (inner, None) if source(inner) else (str(node.module), alias.name)
                module.imports[alias.asname or alias.name] = target
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            module.uses[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            for method in methods:
                module.uses[f"{node.name}.{method.name}"] = method
            rest = [n for n in node.body if n not in methods]
            module.uses[node.name] = ast.Module([*rest, *map(ast.Expr, node.bases)], [])
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            for target in node.targets:
                module.uses[target.id] = node.value  # type: ignore[attr-defined]
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            module.body.append(node)
    return module


@cache
def source(module: str) -> Path | None:
    """The file of a module of the library, None where there is no such module."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((c for c in candidates if path != PACKAGE and c.is_file()), None)


class Reach:
    """All that is reached from a script."""

    def __init__(self, script: Path) -> None:
        self.symbols: set[tuple[Path, str]] = set()
        self.attributes: set[str] = set()
        self._follow(script, ast.parse(script.read_text("utf-8")))
        before = -1
        while before != len(self.symbols):  # methods, as their names are called
            before = len(self.symbols)
            for path, name in list(self.symbols):
                for method in read(path).uses:
                    owner, dot, last = method.partition(".")
                    special = last.startswith("__") or last == "forward"
                    if dot and owner == name and (special or last in self.attributes):
                        self._reach(path, method)

    @property
    def modules(self) -> set[str]:
        """The modules with a symbol that is reached, without `revoice.`."""
        found = set()
        for path, _ in self.symbols:
            if path.is_relative_to(PACKAGE):
                inside = path.relative_to(PACKAGE).with_suffix("")
                found.add(".".join(p for p in inside.parts if p != "__init__"))
        return found

    def _follow(self, path: Path, tree: ast.AST) -> None:
        module = read(path)
        for name in _names(tree):
            self.attributes.add(name)
            first, *rest = name.split(".")
            if first in module.imports:
                target, symbol = module.imports[first]
                symbol = symbol or (rest[0] if rest else None)
                file = source(target)
                if file and symbol:
                    self._reach(file, symbol)
            elif first in module.uses:
                self._reach(path, first)
            self.attributes.update(rest)

    def _reach(self, path: Path, symbol: str) -> None:
        module = read(path)
        if symbol in module.imports and symbol not in module.uses:  # passed on by a package
            target, inner = module.imports[symbol]
            file = source(target)
            if file and inner:
                self._reach(file, inner)
            return
        if (path, symbol) in self.symbols or symbol not in module.uses:
            return
        self.symbols.add((path, symbol))
        self._follow(path, module.uses[symbol])
        for node in module.body:
            self._follow(path, node)


def _names(tree: ast.AST) -> Iterator[str]:
    """Names and dotted names that a piece of code uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = [node.attr]
            value = node.value
            while isinstance(value, ast.Attribute):
                parts.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name):
                yield ".".join([value.id, *reversed(parts)])
            else:
                yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
