"""An installed library has all that it reads: built as a wheel, and read far from the project."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = {".j2", ".json", ".mplstyle", ".sha256", ".yaml"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of the project holds."""
    base = tmp_path_factory.mktemp("wheel")
    project = base / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    for name in ("revoice", "resources"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = "-m pip wheel --quiet --no-deps --no-build-isolation --no-index -w".split()
    subprocess.run(
        [sys.executable, *command, str(base), str(project)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    (wheel,) = base.glob("revoice-*.whl")
    zipfile.ZipFile(wheel).extractall(base / "installed")
    return base / "installed"


def test_wheel_holds_every_module_and_all_data(installed: Path) -> None:
    there = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    modules = [p.relative_to(ROOT) for p in (ROOT / "revoice").rglob("*.py")]
    data = [p.relative_to(ROOT) for p in (ROOT / "revoice").rglob("*") if p.suffix in DATA]
    resources = [
        "revoice" / path.relative_to(ROOT)
        for path in (ROOT / "resources").rglob("*")
        if path.suffix in DATA
    ]
    assert len(data) > 1
    assert len(resources) > 5
    assert {path.as_posix() for path in (*modules, *data, *resources)} <= there


READ = """
import sys
sys.path.insert(0, sys.argv[1])
from importlib.resources import files as resources_of
import revoice
from revoice.files import PACKAGE, RESOURCES
assert revoice.__file__.startswith(sys.argv[1]), revoice.__file__
assert "sha256" in (RESOURCES / "pretrained.yaml").read_text("utf-8")
assert len((RESOURCES / "asterisk" / "en.sha256").read_text("utf-8").splitlines()) > 100
assert "<html" in (PACKAGE / "report" / "templates" / "index.html.j2").read_text("utf-8")
assert resources_of("revoice.resources").joinpath("pretrained.yaml").is_file()
print(RESOURCES)
"""


def test_installed_library_finds_what_it_reads(installed: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-c", READ, str(installed)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(installed / "revoice" / "resources")
