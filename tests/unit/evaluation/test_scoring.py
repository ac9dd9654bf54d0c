"""Scores: what is counted, what happens to a measure that fails, and real models on real speech."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from revoice.config import ScoreConfig
from revoice.evaluation import measures
from revoice.evaluation.measures import measure_clip
from revoice.evaluation.recognizers import Choice, Recognizer
from revoice.evaluation.scoring import score_sentences, word_errors

NOTHING = ScoreConfig(recognizer=None, similarity=None, dnsmos=None)
SPHINX = ScoreConfig(recognizer="pocketsphinx")
CHOICE = Choice(
    describe="whisper tiny (sha256 01234567)", reason="as configured", folder="data/whisper-tiny"
)


def write_wav(path: Path, seconds: float = 0.5, pitch: float = 220.0, rate: int = 24000) -> str:
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time).astype(np.float32), rate)
    return str(path)


@pytest.fixture
def sentences(tmp_path: Path) -> pd.DataFrame:
    """Two sentences with a recording, one of which got no sound, and one without a recording."""
    rows = []
    texts = {"long": "please press one two three now", "short": "hello", "extra": "good bye"}
    for name, text in texts.items():
        wavs = {
            kind: write_wav(tmp_path / f"{name}.{kind}.wav")
            for kind in ("recording", "reconstruction", "synthesis")
            if (name, kind) != ("short", "synthesis") and (name != "extra" or kind == "synthesis")
        }
        prompt = write_wav(tmp_path / "prompt.wav", pitch=200)
        rows.append(
            {"id": name, "text": text, "language": "en", "speaker": "a", "prompt_id": "other"}
            | {"prompt": prompt, "recording": "", "reconstruction": "", "synthesis": ""}
            | wavs
            | {"ended": name != "short", "frames": 38}
        )
    return pd.DataFrame(rows)


def install_recognizer(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> list[Any]:
    """A stand-in that hears `heard`, clip after clip; returns its calls, first its folder."""
    calls: list[Any] = []

    def hear(samples: np.ndarray, rate: int, language: str) -> str:
        calls.append((samples, rate, language))
        return heard.pop(0)

    def load(folder: str | None) -> Recognizer:
        calls.append(folder)
        return hear

    monkeypatch.setattr(measures, "_recognizer", load)
    return calls


def test_word_errors_are_counted_on_normalised_words() -> None:
    assert word_errors("Press 1 for the D.T.M.F. menu.", "press one for the dtmf menu") == (0, 6)
    assert word_errors("one two three", "one four three five") == (2, 3)  # one wrong, one more
    assert word_errors("one two three", "") == (3, 3)
    assert word_errors("Leave a voicemail", "leave a voice mail") == (0, 3)
    assert word_errors("[tone]", "anything") == (0, 0)


def test_summary_sums_errors_over_words(
    sentences: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = ["please press one two three now", "hello", "please press 1 two two now", "yellow"]
    by_clip = [heard[0], heard[2], "press one", heard[1], heard[3], "good bye"]
    install_recognizer(monkeypatch, by_clip)
    config = ScoreConfig(similarity=None, dnsmos=None)
    clips, summary = score_sentences(sentences, config, choice=CHOICE)

    assert len(clips) == 9
    assert not by_clip  # heard in the order of the table, missing clips not at all
    summary = summary.set_index("row")
    assert summary.loc["Recording", "wer"] == 0
    # one of six words in the long sentence, the only one of the short
    assert summary.loc["Codec reconstruction", "wer"] == pytest.approx(2 / 7, abs=1e-4)
    assert summary.loc["Codec reconstruction", "wer_6"] == pytest.approx(1 / 6, abs=1e-4)
    # four of six words missed, and all of the sentence without sound
    assert summary.loc["Synthesis", "wer"] == pytest.approx(5 / 7, abs=1e-4)
    assert list(summary["clips"]) == [2, 2, 1]
    assert list(summary["words"]) == [7, 7, 7]
    assert list(summary["words_6"]) == [6, 6, 6]
    assert "1 of 2" in summary.loc["Synthesis", "notes"]
    assert set(summary["heard_by"]) == {CHOICE["describe"]}
    assert set(summary["heard_reason"]) == {CHOICE["reason"]}
    assert set(clips.loc[clips["transcript"].notna() & (clips["wav"] != ""), "heard_by"]) == {
        CHOICE["describe"]
    }
    assert set(clips.loc[clips["wav"] == "", "heard_by"]) == {""}
    # whether the AR ended is known of what it spoke alone
    assert clips["ended"].tolist() == ["", "", True, "", "", False, "", "", True]
    assert summary["ended"].isna().tolist() == [True, True, False]
    assert summary.loc["Synthesis", "ended"] == 0.5
    assert summary["duration"].tolist() == [0.5, 0.5, 0.5]


def test_a_recognizer_gets_16_khz_and_the_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = install_recognizer(monkeypatch, ["bonjour à tous"])
    config = ScoreConfig(similarity=None, dnsmos=None)
    clip = measure_clip(write_wav(tmp_path / "a.wav"), "fr-fr", "", config, "data/whisper-tiny")
    assert clip["transcript"] == "bonjour à tous"
    folder, (samples, rate, language) = calls
    assert folder == "data/whisper-tiny"
    assert samples.dtype == np.float32
    assert (len(samples), rate, language) == (8000, 16000, "fr-fr")


def test_whisper_comes_from_the_folder_that_was_chosen(
    sentences: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ScoreConfig(similarity=None, dnsmos=None)
    with pytest.raises(ValueError, match="needs the choice of a model"):
        score_sentences(sentences, config)
    _, summary = score_sentences(sentences, config, choice=CHOICE)
    assert summary["wer"].str.startswith("not available: data/whisper-tiny holds no Whisper").all()

    calls = install_recognizer(monkeypatch, ["hello"] * 6)
    reason = "fallback, because the weights of whisper-base cannot be had: no index"
    fallen = Choice(describe="pocketsphinx", reason=reason, folder=None)
    clips, summary = score_sentences(sentences, config, choice=fallen)
    assert calls[0] is None
    assert summary["heard_by"].str.startswith("pocketsphinx ").all()
    assert set(summary["heard_reason"]) == {reason}
    assert set(clips.loc[clips["wav"] != "", "heard_by"]) == {summary.loc[0, "heard_by"]}


def test_repeats_count_and_recordings_are_heard_once(
    sentences: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `long` a second synthesis is right, and did not end; of the short one there is none."""
    more = sentences.assign(seed=2, ended=False)
    heard = ["please press one two three now"] * 2 + ["press one", "hello", "hello", "good bye"]
    heard += ["please press one two three now", "good bye"]
    calls = install_recognizer(monkeypatch, heard)
    both = pd.concat([sentences.assign(seed=1), more], ignore_index=True)
    config = ScoreConfig(similarity=None, dnsmos=None)
    clips, summary = score_sentences(both, config, choice=CHOICE)
    assert len(calls) == 2 * 8
    assert clips.groupby("kind").size().to_dict() == {
        "recording": 3,
        "reconstruction": 3,
        "synthesis": 6,
    }
    spoken = clips[clips["kind"] == "synthesis"]
    assert spoken["seed"].tolist() == [1] * 3 + [2] * 3
    rows = summary.set_index("row")
    assert rows["words"].tolist() == [7, 7, 14]
    # four of six words missed once, and the sentence without sound twice
    assert rows.loc["Synthesis", "wer"] == pytest.approx(6 / 14, abs=1e-4)
    assert rows.loc["Synthesis", "ended"] == 0.25
    assert "synthesis of 2 of 4 clips" in rows.loc["Synthesis", "notes"]


def test_a_missing_package_says_so_and_the_rest_goes_on(
    sentences: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pocketsphinx", "speechmos.dnsmos", "resemblyzer"):
        monkeypatch.setitem(sys.modules, package, None)
    for loader in (measures._recognizer, measures._dnsmos, measures._voice_encoder):
        loader.cache_clear()
    clips, summary = score_sentences(sentences, SPHINX)
    for column in ("wer", "wer_6", "similarity", "dnsmos"):
        assert summary[column].str.startswith("not available: ").all()
    assert summary["wer"].str.contains("pocketsphinx").all()
    assert summary["dnsmos"].str.contains("speechmos").all()
    assert summary["duration"].tolist() == [0.5, 0.5, 0.5]
    assert clips.loc[clips["wav"] != "", "notes"].str.contains("resemblyzer").all()


def test_measures_can_be_switched_off(sentences: pd.DataFrame) -> None:
    clips, summary = score_sentences(sentences, NOTHING)
    for column in ("wer", "wer_6", "similarity", "dnsmos"):
        assert set(summary[column]) == {"not available: switched off"}
    assert clips["transcript"].isna().all()
    assert set(summary["notes"]) == {
        "",
        "synthesis of 1 of 2 clips: no sound, so all words count as missed",
    }


def test_pocketsphinx_declines_other_languages(sentences: pd.DataFrame) -> None:
    sentences["language"] = "fr"
    config = ScoreConfig(recognizer="pocketsphinx", similarity=None, dnsmos=None)
    _, summary = score_sentences(sentences, config)
    assert summary["wer"].str.contains("English only").all()
    assert summary["wer_6"].str.contains("English only").all()


def test_similarity_needs_another_recording(sentences: pd.DataFrame) -> None:
    sentences["prompt_id"] = sentences["id"]
    config = ScoreConfig(recognizer=None, dnsmos=None)
    _, summary = score_sentences(sentences, config)
    assert summary["similarity"].str.contains("no other recording").all()


def test_silence_fails_one_clip_not_the_rest(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(24000, np.float32), 24000)
    config = ScoreConfig(recognizer=None, dnsmos=None)
    pytest.importorskip("resemblyzer", reason="needs resemblyzer")
    clip = measure_clip(str(silent), "en", write_wav(tmp_path / "prompt.wav"), config)
    assert clip["similarity"] is None
    assert "silence" in clip["notes"]["similarity"]
    assert clip["duration"] == 1.0


def test_bad_tables_are_refused(sentences: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="lacks the columns text, synthesis"):
        score_sentences(sentences.drop(columns=["synthesis", "text"]), NOTHING)
    sentences.loc[0, "synthesis"] = "nowhere.wav"
    with pytest.raises(FileNotFoundError, match=r"nowhere\.wav, of sentence 'long'"):
        score_sentences(sentences, NOTHING)


def test_empty_cells_of_a_csv_are_missing_clips(sentences: pd.DataFrame, tmp_path: Path) -> None:
    sentences.to_csv(tmp_path / "sentences.csv", index=False)
    clips, summary = score_sentences(pd.read_csv(tmp_path / "sentences.csv"), NOTHING)
    assert (clips["wav"] == "").sum() == 3
    assert list(summary["clips"]) == [2, 2, 1]


@pytest.fixture(scope="module")
def speech(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two sentences of one speaker; the reconstruction is the recording, the synthesis noise."""
    folder = spoken / "LJSpeech-1.1"
    lines = (folder / "metadata.csv").read_text("utf-8").splitlines()[:2]
    ids, _, texts = zip(*(line.split("|") for line in lines), strict=True)
    wavs = [str(folder / "wavs" / f"{name}.wav") for name in ids]
    noise = tmp_path_factory.mktemp("speech") / "noise.wav"
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(24000), 24000)
    return pd.DataFrame(
        {
            "id": ids,
            "text": texts,
            "language": "en",
            "speaker": "LJ",
            "prompt_id": ids[::-1],
            "prompt": wavs[::-1],
            "recording": wavs,
            "reconstruction": wavs,
            "synthesis": str(noise),
        }
    )


@pytest.mark.parametrize("package", ["pocketsphinx", "resemblyzer", "speechmos.dnsmos"])
def test_packages_import(package: str) -> None:
    importlib.import_module(package)


def test_real_speech_beats_noise_and_threads_change_nothing(speech: pd.DataFrame) -> None:
    clips, summary = score_sentences(speech, SPHINX, threads=2)
    alone, _ = score_sentences(speech.tail(1), SPHINX, threads=1)
    pd.testing.assert_frame_equal(clips.tail(3).reset_index(drop=True), alone)

    rows = summary.set_index("row")
    assert rows.loc["Recording", "wer"] < 0.6 < rows.loc["Synthesis", "wer"]
    assert rows.loc["Recording", "wer"] == rows.loc["Codec reconstruction", "wer"]
    assert rows.loc["Recording", "similarity"] > rows.loc["Synthesis", "similarity"]
    assert 2 < rows.loc["Recording", "dnsmos"] <= 5
    assert rows.loc["Synthesis", "dnsmos"] < rows.loc["Recording", "dnsmos"]
    assert rows.loc["Synthesis", "duration"] == 1.0
    assert summary["heard_by"].str.startswith("pocketsphinx ").all()


def test_a_transcript_does_not_depend_on_what_came_before(speech: pd.DataFrame) -> None:
    config = ScoreConfig(recognizer="pocketsphinx", similarity=None, dnsmos=None)
    first, second = speech["recording"].iloc[:2]
    alone = measure_clip(second, "en", "", config)["transcript"]
    measure_clip(first, "en", "", config)
    assert measure_clip(second, "en", "", config)["transcript"] == alone
    assert alone
