"""What the tests stand on: the speech that is made for them, and who takes which of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.conftest import ROOT, SHARING_A_RUN, taken_together


def listed(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What eSpeak NG says."""
    return speak(tmp_path_factory.mktemp("made"))


def speak(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "tests.helpers.speech", folder], cwd=ROOT, check=True)
    return folder


def test_made_speech_is_the_same_each_time(made: Path, tmp_path: Path) -> None:
    speak(tmp_path)
    assert listed(tmp_path) == listed(made)
    for name in listed(made):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name


def test_made_speech_is_heard(made: Path) -> None:
    """Each file says something of its own, for about as long as people take, without clipping."""
    contents = set()
    for path in [path for path in made.rglob("*") if path.suffix in (".wav", ".flac", ".ogg")]:
        samples, rate = soundfile.read(path)
        assert 0.1 < len(samples) / rate < 15, path
        assert 0.05 < abs(samples).max() < 0.9, path
        contents.add(path.read_bytes())
    assert len(contents) == 480 + 2 + 2 + 6


def test_made_speech_stands_in_for_the_recordings(made: Path) -> None:
    """The same names, texts, rates, channels and formats: tests need not know which they read."""
    folder = ROOT.parent / "shared" / "speech"
    if not folder.is_dir():
        pytest.skip("needs the recordings in ../shared/speech")
    assert listed(made) == listed(folder)
    for name in listed(made):
        if name.endswith((".txt", ".csv")):
            assert (made / name).read_bytes() == (folder / name).read_bytes(), name
            continue
        ours, theirs = soundfile.info(made / name), soundfile.info(folder / name)
        for key in ("samplerate", "channels", "format", "subtype"):
            assert getattr(ours, key) == getattr(theirs, key), (name, key)


def test_tests_that_share_something_long_are_taken_together() -> None:
    """All that read the finished run, the cluster's, and else each file by itself."""
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/**/test_*.py")]
    together: dict[str, set[str]] = {}
    for file in files:
        together.setdefault(taken_together(f"{file}::test_it[a::b]"), set()).add(file)
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("tests/workflow/test_*.py")
        if "import Finished" in path.read_text("utf-8")
    }
    assert readers == together.pop("finished") == SHARING_A_RUN
    slurm = together.pop("tests/slurm/")
    assert slurm == {file for file in files if file.startswith("tests/slurm/")}
    assert together == {file: {file} for file in set(files) - readers - slurm}
