"""Resampling: what comes through, what is rejected with which reason."""

import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from revoice.config import AudioConfig
from revoice.corpus import audio
from revoice.corpus.audio import SAMPLE_RATE, Source, recordings_of, resample
from revoice.corpus.naming import recording_id
from revoice.files import sha256

Samples = npt.NDArray[np.float32]


def tone(
    seconds: float = 1.0, rate: int = SAMPLE_RATE, peak: float = 0.3, seed: int = 0
) -> Samples:
    """A swelling tone with a little noise, (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    noise = 0.05 * np.random.default_rng(seed).standard_normal(len(time))
    samples = (np.sin(2 * np.pi * 220 * time) + noise) * np.linspace(0.2, 1, len(time))
    return (samples * peak / np.abs(samples).max(initial=1e-9)).astype(np.float32)


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *arguments]
    subprocess.run([str(part) for part in command], check=True)


def cut_off(path: Path, share: float = 0.6) -> None:
    """Keep the beginning of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@pytest.fixture
def converted(tmp_path: Path, root: Path) -> Callable[..., dict[str, Source]]:
    """Resample all files below `root`, or those named; the results by path."""

    def convert(*paths: str, **config: object) -> dict[str, Source]:
        found = paths or sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
        )
        sources = resample("mine", found, root, tmp_path / "audio", AudioConfig(**config))  # type: ignore[arg-type]
        assert [source.path for source in sources] == list(found)
        outputs = {path.name for path in (tmp_path / "audio").iterdir()}
        assert outputs == {f"{source.id}.wav" for source in sources if not source.reason}
        for name in outputs:
            info = soundfile.info(str(tmp_path / "audio" / name))
            assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        return {source.path: source for source in sources}

    return convert


def output_of(root: Path, source: Source) -> Samples:
    return soundfile.read(str(root.parent / "audio" / f"{source.id}.wav"), dtype="float32")[0]


def test_stereo_is_mixed_down(root: Path, converted: Callable) -> None:
    left, right = tone(rate=44100, seed=1), tone(rate=44100, peak=0.1, seed=2)
    soundfile.write(root / "both.wav", np.stack([left, right], axis=1), 44100)
    source = converted()["both.wav"]
    assert (source.reason, source.channels, source.rate) == ("", 2, 44100)
    assert (source.format, source.codec, source.linked) == ("wav", "pcm_s16le", False)
    assert source.duration == pytest.approx(1.0, abs=0.01)
    mixed = output_of(root, source)
    assert np.abs(mixed).max() == pytest.approx(np.abs(left + right).max() / 2, rel=0.05)
    assert source.peak == pytest.approx(np.abs(mixed).max(), abs=1e-4)


def test_pitch_and_level_stay_as_they_were(root: Path, converted: Callable) -> None:
    soundfile.write(root / "a.wav", tone(2, 44100), 44100)
    samples = output_of(root, converted()["a.wav"])
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(samples) == pytest.approx(220, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("a.flac", [], "flac"),
        ("a.ogg", ["-c:a", "libvorbis"], "vorbis"),
        ("a.opus", ["-c:a", "libopus"], "opus"),
        ("a.mp3", [], "mp3"),
        ("vbr.mp3", ["-q:a", "9", "-write_xing", "0"], "mp3"),
        ("a.m4a", [], "aac"),
        ("a.aac", [], "aac"),
        ("a.wma", [], "wmav2"),
        ("a.aiff", [], "pcm_s16be"),
        ("a.g722", ["-ar", "16000", "-ac", "1"], "adpcm_g722"),
        ("upper.WAV", ["-c:a", "pcm_f32le"], "pcm_f32le"),
        ("24bit.wav", ["-c:a", "pcm_s24le"], "pcm_s24le"),
        ("law.wav", ["-c:a", "pcm_mulaw", "-ar", "8000"], "pcm_mulaw"),
    ],
)
def test_formats(
    root: Path, converted: Callable, name: str, options: list[str], codec: str
) -> None:
    original = root.parent / "original.wav"
    soundfile.write(original, np.stack([tone(2, 44100)] * 2, axis=1), 44100)
    ffmpeg("-i", original, *options, root / name)
    source = converted()[name]
    assert (source.reason, source.codec) == ("", codec)
    assert source.rate == rate_after(options)
    assert source.channels == (1 if "-ac" in options else 2)
    assert source.duration == pytest.approx(2.0, abs=0.08)
    assert source.sha256 == sha256(root / name)
    assert np.abs(output_of(root, source)).max() == pytest.approx(0.3, rel=0.25)


def rate_after(options: list[str]) -> int:
    if "-ar" in options:
        return int(options[options.index("-ar") + 1])
    return 48000 if "libopus" in options else 44100


def test_many_files_share_a_process(
    root: Path, converted: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []
    run = audio._run_ffmpeg

    def counted(batch: list[Source], *rest: object) -> tuple[str, bool]:
        batches.append([source.path for source in batch])
        return run(batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(audio, "_run_ffmpeg", counted)
    monkeypatch.setattr(audio, "FILES_PER_PROCESS", 4)
    for number in range(6):
        rate = 8000 + 2000 * number
        soundfile.write(root / f"{number}.wav", tone(0.5 + number / 4, rate), rate)
    sources = converted()
    assert [len(batch) for batch in batches] == [4, 2]
    for number in range(6):
        source = sources[f"{number}.wav"]
        assert (source.reason, source.rate) == ("", 8000 + 2000 * number)
        assert source.duration == pytest.approx(0.5 + number / 4, abs=0.01)


def test_one_bad_file_spoils_no_other(root: Path, converted: Callable) -> None:
    for name in ["a.flac", "b.flac", "c.flac"]:
        soundfile.write(root / name, tone(rate=16000), 16000)
    cut_off(root / "b.flac")
    reasons = {path: source.reason for path, source in converted().items()}
    assert reasons["a.flac"] == reasons["c.flac"] == ""
    assert reasons["b.flac"].startswith(("cannot be decoded", "is truncated"))


@pytest.mark.parametrize(
    "name",
    ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.m4a", "a.mka", "a.aiff", "conforming.wav"],
)
def test_truncated_files_are_rejected(root: Path, converted: Callable, name: str) -> None:
    rate = SAMPLE_RATE if name == "conforming.wav" else 44100
    original = root.parent / "original.wav"
    soundfile.write(original, tone(3, rate), rate)
    ffmpeg("-i", original, root / name)
    assert converted()[name].reason == ""
    cut_off(root / name)
    source = converted()[name]
    assert source.reason.startswith(("is truncated", "cannot be decoded"))
    assert source.sha256 == sha256(root / name)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("size", [0, 1, 10, 30])
def test_next_to_nothing_is_rejected(root: Path, converted: Callable, name: str, size: int) -> None:
    original = root.parent / "original.wav"
    soundfile.write(original, tone(), SAMPLE_RATE)
    ffmpeg("-i", original, root / name)
    (root / name).write_bytes((root / name).read_bytes()[:size])
    reason = converted()[name].reason
    assert reason == "is empty" if size == 0 else reason


def test_wave_header_without_samples(root: Path, converted: Callable) -> None:
    soundfile.write(root / "none.wav", np.zeros(0), SAMPLE_RATE)
    soundfile.write(root / "other.wav", np.zeros(0), 44100)
    sources = converted()
    assert all(source.reason for source in sources.values())


@pytest.mark.parametrize("declared", [0, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 16000])
def test_wave_from_a_pipe_has_no_length(
    root: Path, converted: Callable, declared: int, rate: int
) -> None:
    soundfile.write(root / "piped.wav", tone(rate=rate), rate)
    content = bytearray((root / "piped.wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = declared.to_bytes(4, "little")
    (root / "piped.wav").write_bytes(content)
    source = converted()["piped.wav"]
    assert source.reason == ""
    assert source.duration == pytest.approx(1.0, abs=0.01)


def test_text_called_wav(root: Path, converted: Callable) -> None:
    (root / "text.wav").write_text("This is no audio.\n" * 50)
    (root / "list.wav").write_text("ffconcat version 1.0\nfile other.wav\n")
    soundfile.write(root / "other.wav", tone(), SAMPLE_RATE)
    sources = converted()
    assert sources["text.wav"].reason.startswith("cannot be decoded")
    assert sources["list.wav"].reason == "is a list of other files, not audio"
    assert sources["other.wav"].reason == ""


def test_absent_files_and_folders(root: Path, converted: Callable) -> None:
    (root / "folder.wav").mkdir()
    (root / "dangling.wav").symlink_to(root / "nowhere.wav")
    sources = converted("absent.wav", "folder.wav", "dangling.wav")
    reasons = {path: source.reason for path, source in sources.items()}
    absent = dict.fromkeys(["absent.wav", "dangling.wav"], "does not exist")
    assert reasons == {**absent, "folder.wav": "is not a file"}


def test_unreadable_files(root: Path, converted: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    soundfile.write(root / "a.wav", tone(), SAMPLE_RATE)
    monkeypatch.setattr(audio, "_fault_before_decoding", deny)
    assert converted()["a.wav"].reason == "cannot be read: Permission denied"


def test_film_without_sound(root: Path, converted: Callable) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=1:r=5", root / "film.mkv")
    assert converted()["film.mkv"].reason == "holds no audio"


def test_film_longer_than_its_sound_and_with_two_tracks(root: Path, converted: Callable) -> None:
    original = root.parent / "original.wav"
    soundfile.write(original, tone(), SAMPLE_RATE)
    film = ["-f", "lavfi", "-i", "color=s=64x64:d=3:r=5", "-i", original, "-i", original]
    ffmpeg(*film, "-map", "0", "-map", "1", "-map", "2", root / "film.mkv")
    source = converted()["film.mkv"]
    assert source.reason == ""
    assert source.duration == pytest.approx(1.0, abs=0.05)


def test_cover_pictures_and_titles_are_no_faults(root: Path, converted: Callable) -> None:
    original, cover = root.parent / "original.wav", root.parent / "cover.png"
    soundfile.write(original, tone(2, 16000), 16000)
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64", "-frames:v", "1", cover)
    title = "title=Error: corrupt, invalid data\n[error] Error"
    options = ["-map", "0", "-map", "1", "-metadata", title, "-disposition:v", "attached_pic"]
    ffmpeg("-i", original, "-i", cover, *options, root / "Decoding error, corrupt.mp3")
    source = converted()["Decoding error, corrupt.mp3"]
    assert source.reason == ""
    assert source.declared == pytest.approx(2.0, abs=0.1)


def test_files_of_one_name(root: Path, converted: Callable) -> None:
    (root / "a").mkdir()
    for name in ["a/b.wav", "a-b.wav", "a/b.flac"]:
        soundfile.write(root / name, tone(rate=16000), 16000)
    sources = converted()
    assert sources["a-b.wav"].reason == ""
    assert sources["a/b.flac"].reason == "has the same name as a-b.wav"
    assert sources["a/b.wav"].reason == "has the same name as a-b.wav"


def test_an_empty_file_takes_no_name(root: Path, converted: Callable) -> None:
    (root / "a.flac").touch()
    soundfile.write(root / "a.wav", tone(), SAMPLE_RATE)
    assert converted()["a.wav"].reason == ""


def test_conforming_files_are_linked(root: Path, converted: Callable) -> None:
    soundfile.write(root / "a.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
    source = converted()["a.wav"]
    output = root.parent / "audio" / f"{source.id}.wav"
    assert source.linked
    assert output.resolve() == (root / "a.wav").resolve()
    assert (source.rate, source.channels, source.codec) == (SAMPLE_RATE, 1, "pcm_s16le")
    assert source.duration == pytest.approx(1.0)


def test_links_outlast_a_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far").mkdir()
    for number, root in enumerate(["mine", "../far", str(tmp_path / "far"), "link"]):
        here = tmp_path / str(number)
        here.mkdir()
        monkeypatch.chdir(here)
        for folder in ("mine", "audio"):
            Path(folder).mkdir()
        Path("link").symlink_to(tmp_path / "far")
        soundfile.write(f"{root}/a.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
        (source,) = resample("mine", ["a.wav"], Path(root), Path("audio"), AudioConfig())
        assert source.linked
        monkeypatch.chdir(tmp_path)
        (tmp_path / "deep").mkdir(exist_ok=True)
        moved = here.rename(tmp_path / "deep" / str(number))
        assert (moved / "audio" / f"{source.id}.wav").exists()


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(24000, 1, "FLOAT"), (24000, 1, "PCM_24"), (24000, 2, "PCM_16"), (22050, 1, "PCM_16")],
)
def test_almost_conforming_files_are_decoded(
    root: Path, converted: Callable, rate: int, channels: int, subtype: str
) -> None:
    samples = np.stack([tone(rate=rate)] * channels, axis=1)
    soundfile.write(root / "a.wav", samples, rate, subtype=subtype)
    source = converted()["a.wav"]
    assert (source.reason, source.linked) == ("", False)
    assert not (root.parent / "audio" / f"{source.id}.wav").is_symlink()


def test_loudness_brings_files_to_one_level(root: Path, converted: Callable) -> None:
    for name, peak in [("loud", 0.8), ("quiet", 0.02)]:
        soundfile.write(root / f"{name}.wav", tone(4, peak=peak), SAMPLE_RATE)

    def levels(**config: float) -> list[float]:
        sources = converted(**config)
        assert all(source.reason == "" for source in sources.values())
        assert all(source.linked is (not config) for source in sources.values())
        outputs = [output_of(root, sources[f"{name}.wav"]) for name in ("loud", "quiet")]
        return [20 * np.log10(np.sqrt(np.mean(samples**2))) for samples in outputs]

    loud, quiet = levels()
    assert loud - quiet > 25
    loud, quiet = levels(loudness=-30)
    assert loud == pytest.approx(quiet, abs=3)
    louder, _ = levels(loudness=-20)
    assert louder - loud == pytest.approx(10, abs=3)


@pytest.mark.parametrize("config", [{}, {"loudness": -20}])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 16000])
def test_silence_is_rejected(
    root: Path, converted: Callable, config: dict[str, float], rate: int
) -> None:
    soundfile.write(root / "silent.wav", np.zeros(rate), rate)
    assert converted(**config)["silent.wav"].reason == "is silent"


def test_channels_of_opposite_phase(root: Path, converted: Callable) -> None:
    samples = tone(rate=44100)
    soundfile.write(root / "opposite.wav", np.stack([samples, -samples], axis=1), 44100)
    assert converted()["opposite.wav"].reason.startswith("is silent once its channels are mixed")


def test_too_short(root: Path, converted: Callable) -> None:
    soundfile.write(root / "short.wav", tone(0.3), SAMPLE_RATE)
    assert converted()["short.wav"].reason == ""
    reason = converted(min_seconds=0.5)["short.wav"].reason
    assert reason == "is too short: 0.300 s, audio.min_seconds is 0.5"


AWKWARD = [
    "with space.wav",
    "Grüße, größer.wav",
    "日本語.wav",
    "-i.wav",
    "-y -version.wav",
    "take%d.wav",
    "take%03d of 100%.wav",
    "concat:a|b.wav",
    "file:x.wav",
    "http:__host_x.wav",
    "time 12:30.wav",
    "quote'and\"double.wav",
    "star*[1]?{a,b}.wav",
    "dollar$HOME`id`.wav",
    "back\\slash.wav",
    "dots.in.name.wav",
    "comma,semicolon;=.wav",
    "tilde~#hash.wav",
    "l" * 240 + ".wav",
]


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 16000])
@pytest.mark.parametrize("here", [False, True], ids=["absolute", "working directory"])
def test_awkward_names(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, rate: int, here: bool
) -> None:
    monkeypatch.chdir(root)
    for name in AWKWARD:
        soundfile.write(root / name, tone(rate=rate), rate)
    place = Path() if here else root
    sources = resample("mine", AWKWARD, place, tmp_path / "audio", AudioConfig(), 2)
    assert {source.path: source.reason for source in sources} == dict.fromkeys(AWKWARD, "")
    assert len(list((tmp_path / "audio").iterdir())) == len(AWKWARD)
    for recording in recordings_of(sources, tmp_path / "audio"):
        assert recording.load_audio().shape == (1, SAMPLE_RATE)


def test_recording_ids() -> None:
    assert recording_id("mine", "a/b c.wav") == "mine-a-b_c"
    assert recording_id("mine", "a.b.flac") == "mine-a.b"
    long = [recording_id("mine", f"{'x' * 300}{end}.wav") for end in "ab"]
    assert long[0] != long[1]
    assert max(map(len, long)) < 250


def test_recordings_are_lhotse_s(root: Path, converted: Callable) -> None:
    soundfile.write(root / "good.wav", tone(1.25, 44100), 44100)
    (root / "empty.wav").touch()
    recordings = recordings_of(converted().values(), root.parent / "audio")
    assert list(recordings.ids) == ["mine-good"]
    recording = recordings["mine-good"]
    assert (recording.sampling_rate, recording.num_channels) == (SAMPLE_RATE, 1)
    assert recording.load_audio().shape == (1, recording.num_samples)


def test_rows_tell_what_a_file_was(root: Path, converted: Callable) -> None:
    soundfile.write(root / "good.ogg", tone(1, 48000), 48000)
    (root / "empty.wav").touch()
    empty, good = map(asdict, converted().values())
    assert empty["reason"] == "is empty"
    assert empty["duration"] is None
    assert (good["rate"], good["channels"], good["format"], good["codec"]) == (
        48000,
        1,
        "ogg",
        "vorbis",
    )
    assert good["reason"] == ""


def test_real_recordings_in_the_formats_that_people_send(spoken: Path, tmp_path: Path) -> None:
    folder = spoken / "formats"
    paths = sorted(path.name for path in folder.iterdir() if path.suffix != ".txt")
    sources = resample("mine", paths, folder, tmp_path, AudioConfig())
    for source in sources:
        info = soundfile.info(str(folder / source.path))
        assert source.reason == ""
        assert (source.rate, source.channels) == (info.samplerate, info.channels)
        assert source.duration == pytest.approx(info.duration, abs=0.05)
