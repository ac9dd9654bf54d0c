"""Where the walls stand: sizes, rooms, and who may import whom."""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "revoice").rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
RULES = sorted((ROOT / "rules").glob("*.smk"))
FOLDERS = "revoice scripts tests benchmarks docs".split()
# Scripts that serve rules of other names.
SERVED_BY = {"train_ar": "train", "train_nar": "train"}


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def longer(paths: list[Path], limit: int) -> dict[str, int]:
    return {p.relative_to(ROOT).as_posix(): lines(p) for p in paths if lines(p) > limit}


def module_name(path: Path) -> str:
    """`revoice.codec` of revoice/codec/__init__.py, `revoice.config` of revoice/config.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in LIBRARY}


def ancestors(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def imported(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it: modules, and the names taken from them."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def dependencies(name: str) -> set[str]:
    """The modules of revoice that run before a module can: packages on the way to them too.

    A module's own packages run before it in any case; they count where it takes names from them.
    """
    found = set()
    for target in imported(MODULES[name]):
        if target not in MODULES:
            target = target.rpartition(".")[0]
        if target in MODULES:
            found |= {target} | (ancestors(target) - ancestors(name))
    return found - {name}


def test_functions_are_short() -> None:
    long = {}
    for path in (p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 80:
                    long[f"{path.relative_to(ROOT)}::{node.name}"] = length
    assert not long


def test_modules_are_short() -> None:
    longest = ROOT / "revoice/model/valle.py"
    assert not longer([path for path in LIBRARY if path != longest], 400)


def test_scripts_are_short() -> None:
    assert not longer(SCRIPTS, 60)


def test_shared_rules_are_short() -> None:
    assert not longer([ROOT / "rules/common.smk"], 160)


def test_library_is_small() -> None:
    assert sum(map(lines, LIBRARY)) <= 19_900


def test_no_circle_among_modules() -> None:
    sorter = graphlib.TopologicalSorter({name: dependencies(name) for name in MODULES})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def test_rooms_carry_the_same_names() -> None:
    rooms = {path.parent.name for path in (ROOT / "revoice").glob("*/__init__.py")}
    tested = {path.parent.name for path in (ROOT / "tests/unit").glob("*/test_*.py")}
    with_rules = {path.stem for path in RULES} - {"common"}
    assert rooms == tested
    # what the rules share is written in `workflow`
    assert with_rules == rooms - {"workflow"}


def test_only_the_workflow_knows_snakemake() -> None:
    knowing = []
    for path in LIBRARY:
        if path.parent.name == "workflow":
            continue
        tree = ast.walk(ast.parse(path.read_text("utf-8")))
        names = {
            getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", None)
            for node in tree
        }
        tops = {name.split(".")[0] for name in imported(path)}
        if "snakemake" in names | tops:
            knowing.append(module_name(path))
    assert not knowing


def test_every_script_is_used_by_the_rule_that_it_is_named_after() -> None:
    used = {}
    for path in RULES:
        for body in re.split(r"^(?=rule |checkpoint |use rule )", path.read_text(), flags=re.M)[1:]:
            script = re.search(r'"\.\./scripts/(\w+)\.py"', body)
            if script:
                used[body.split(":")[0].split()[1]] = script[1]
    assert used == {rule: SERVED_BY.get(rule, rule) for rule in used}
    assert set(used.values()) == {path.stem for path in SCRIPTS}
