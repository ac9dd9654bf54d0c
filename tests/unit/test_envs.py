"""Environments and containers parse, name the pinned versions, hold what scripts import."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
DISTRIBUTIONS = packages_distributions()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Package and version of every `name==version` in a requirements file or a script."""
    return {canonical(n): v for n, v in re.findall(r"([\w.-]+)==([\w.!+-]+)", text)}


def pip_packages(path: Path) -> dict[str, str]:
    environment = yaml.safe_load(path.read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return pins("\n".join(pip))


def rules() -> dict[str, str]:
    """Script of each rule and the environment that it names."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    found = {}
    for body in re.split(r"^(?=rule |checkpoint )", text, flags=re.M)[1:]:
        script = re.search(r"scripts/(\w+)\.py", body)
        conda = re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', body)
        assert script, body
        assert conda, f"{script[1]} names no environment"
        found[script[1]] = conda[1]
    return found


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_of(script: Path) -> set[str]:
    """Distributions that a script and the library behind it import."""
    seen, todo, found = set(), [script], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in imported(path):
            top = module.split(".")[0]
            if top == "revoice":
                there = ROOT.joinpath(*module.split("."))
                # the packages on the way to a module run before it
                found_at = [there.with_suffix(".py"), there / "__init__.py"]
                found_at += [p / "__init__.py" for p in there.parents if ROOT in p.parents]
                todo += [p for p in found_at if p.exists()]
            elif top not in sys.stdlib_module_names:
                found.update(DISTRIBUTIONS.get(top, []))
    return {canonical(name) for name in found}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_versions_are_the_pinned_ones(path: Path) -> None:
    pinned = pins((ROOT / "envs/requirements.txt").read_text())
    packages = pip_packages(path)
    assert len(packages) > 5
    assert packages == {name: pinned[name] for name in packages}


@pytest.mark.parametrize(("script", "environment"), sorted(rules().items()))
def test_environment_holds_what_the_script_imports(script: str, environment: str) -> None:
    packages = set(pip_packages(ROOT / f"envs/{environment}.yaml"))
    deploy = ROOT / f"envs/{environment}.post-deploy.sh"
    if deploy.exists():
        packages |= set(pins(deploy.read_text()))
    packages |= {"torchaudio"}  # its stand-in is the library's own
    assert packages_of(ROOT / f"scripts/{script}.py") <= packages


def test_packages_without_their_dependencies() -> None:
    pinned = pins((ROOT / "envs/requirements-nodeps.txt").read_text())
    named: dict[str, str] = {}
    for path in (ROOT / "envs").glob("*.post-deploy.sh"):
        named |= pins(path.read_text())
    assert named == pinned


def test_what_the_project_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {canonical(re.split(r"[<>=!~\[; ]", requirement)[0]) for requirement in asked}
    assert names <= set(pins((ROOT / "envs/requirements-dev.txt").read_text()))


def test_development_adds_to_the_requirements() -> None:
    run = pins((ROOT / "envs/requirements.txt").read_text())
    dev = pins((ROOT / "envs/requirements-dev.txt").read_text())
    assert run.items() <= dev.items()


@pytest.mark.parametrize("recipe", ["Dockerfile", "revoice.def"])
def test_containers_install_the_requirements(recipe: str) -> None:
    text = (ROOT / "envs" / recipe).read_text()
    for name in ("requirements.txt", "requirements-nodeps.txt"):
        assert f"envs/{name}" in text
        assert re.search(rf"pip install [^\n]*(-r|--requirement) \S*{re.escape(name)}", text)
    if recipe == "revoice.def":
        sections = re.findall(r"^%(\w+)$", text, re.M)
        assert {"files", "post", "runscript"} <= set(sections)
    else:
        known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"}
        joined = re.sub(r"\\\n", " ", text)
        words = [line.split()[0] for line in joined.splitlines() if line and line[0] != "#"]
        assert set(words) <= known
        assert words[0] == "FROM"
