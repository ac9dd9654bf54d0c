"""The page: what it says of made-up experiments, and that a browser shows and plays all of it."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from revoice.config import ScoreConfig
from revoice.evaluation.scoring import score_sentences
from revoice.files import write_json
from revoice.report.curves import write_curves
from revoice.report.page import Experiment, compare, read_experiment, write_page
from revoice.report.tables import write_summary
from tests.helpers.browser import check_page, chromium

CODECS = {
    "fallback": {"name": "world", "reason": "the weights of encodec_24khz could not be had"},
    "encodec": {"name": "encodec_24khz", "reason": "asked for"},
}
STAGE = {"optimizer": "adamw", "lr": 1e-3, "epochs": 3, "seed": 7, "lora": None}


def stage_config(**changes: Any) -> dict[str, Any]:
    return STAGE | changes


def tone(path: Path, seconds: float, pitch: float) -> str:
    time = np.arange(int(24000 * seconds)) / 24000
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * pitch * time).astype(np.float32), 24000)
    return str(path)


def metrics(level: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    steps = np.arange(10, 601, 10)
    rows = pd.DataFrame({"step": steps, "epoch": steps // 100})
    rows["loss"] = level * (3 + 3 * np.exp(-steps / 150)) + 0.08 * rng.normal(size=len(steps))
    rows["top10_accuracy"] = 0.65 - 0.6 * np.exp(-steps / 150)
    dev = rows[rows["step"] % 100 == 0]
    splits = [rows.assign(split="train"), dev.assign(split="dev", loss=dev["loss"] + 0.1)]
    return pd.concat(splits)


def evaluation(level: float) -> dict[str, Any]:
    figures = {"loss": 3.4567 * level, "top10_accuracy": 0.6543 / level, "positions": 1234}
    per_quantizer = {str(q): figures | {"loss": 3.0 + q / 10} for q in range(1, 8)}
    return {
        "ar": dict.fromkeys(("train", "dev", "test"), figures),
        "nar": dict.fromkeys(("train", "dev", "test"), figures | {"quantizers": per_quantizer}),
        "made_by": {"data": "made for the test", "codec": "world", "checkpoint": "abc123 <i>"},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """`results/` with two experiments as the rules leave them, and their configurations.

    `second` trains the AR only. One sentence has no sound, one no recording, one a text that
    must be escaped and one is not in English.
    """
    folder = tmp_path_factory.mktemp("copied") / "results"
    audio = tmp_path_factory.mktemp("audio")
    configs = {
        "first": {"init": "scratch", "ar": stage_config(), "nar": stage_config()},
        "second": {"init": "first", "ar": stage_config(lr=1e-4), "nar": None},
    }
    for (name, codec), config in zip(CODECS.items(), configs.values(), strict=True):
        write_json(folder / f"{name}.json", codec)
        config["codec"] = name
    texts = {
        "one": ("en", "Please enter your <b>password</b> & press the pound key."),
        "two": ("fr", "Veuillez entrer votre numéro de poste."),
        "silent": ("en", "null"),  # a word, not a value that is missing
        "extra-1": ("en", "A sentence of my own, which nobody has recorded."),
    }
    for level, (name, config) in enumerate(configs.items(), 1):
        rows = []
        for number, (sentence, (language, text)) in enumerate(texts.items()):
            wavs = {
                "recording": tone(audio / f"{sentence}.wav", 0.4, 200 + number),
                "reconstruction": tone(audio / f"{sentence}-codec.wav", 0.4, 300 + number),
                "synthesis": tone(audio / name / f"{sentence} it's.wav", 0.6, 50 * level + number),
            }
            if sentence == "silent":
                wavs["synthesis"] = ""
            if sentence == "extra-1":
                wavs["recording"] = wavs["reconstruction"] = ""
            prompt = tone(audio / "prompt.wav", 0.5, 190)
            rows.append(
                {"id": sentence, "text": text, "language": language, "speaker": "speaker"}
                | {"prompt_id": "prompt", "prompt": prompt}
                | wavs
                | {"seed": 1, "ended": sentence != "one", "frames": 30}
            )
            if sentence == "two":  # spoken a second time, which the page does not play
                again = tone(audio / name / "two-seed2.wav", 0.7, 400)
                rows.append(rows[-1] | {"seed": 2, "synthesis": again})
        clips, scores = score_sentences(
            pd.DataFrame(rows), ScoreConfig(recognizer=None, similarity=None, dnsmos=None)
        )
        of_experiment = folder / name
        for part, stage in (("ar", config["ar"]), ("nar", config["nar"])):
            if stage:
                training = {"steps": 600, "epochs": 3, "best_epoch": 2, "best_step": 400}
                training |= {"seconds": 400.0, "peak_memory_mb": 812.5, "device": "cpu"}
                training |= {"parameters": 3456789, "trainable_parameters": 3456789}
                write_json(of_experiment / part / "training.json", training)
                metrics(level).to_csv(of_experiment / part / "metrics.csv", index=False)
        evaluated = evaluation(level)
        if config["init"] != "scratch":
            evaluated["initial"] = {"ar": {"dev": evaluated["ar"]["dev"]}}
        write_json(of_experiment / "evaluation.json", evaluated)
        clips.to_csv(of_experiment / "scores_per_sentence.csv", index=False)
        scores.to_csv(of_experiment / "scores.csv", index=False)
    return folder, configs


def read_all(folder: Path, configs: dict[str, Any]) -> list[Experiment]:
    """Both experiments, each with the codec and the seeds that it names."""
    return [
        read_experiment(folder / name, config, folder / f"{config['codec']}.json", {"split": 1})
        for name, config in configs.items()
    ]


@pytest.fixture(scope="module")
def page(results: tuple[Path, dict[str, Any]]) -> Path:
    folder, _ = results
    write_page(folder / "index.html", folder / "media", read_all(*results))
    return folder / "index.html"


def test_a_browser_plays_everything_from_a_copied_folder(page: Path, tmp_path: Path) -> None:
    copied = tmp_path / "a copy"
    copied.mkdir()
    shutil.copy(page, copied)
    shutil.copytree(page.parent / "media", copied / "media")
    picture = tmp_path / "page.png"
    # per experiment four sentences of three clips, less one silent and two without recording
    visit = check_page(copied / "index.html", players=2 * (4 * 3 - 3), screenshot=picture)
    assert picture.stat().st_size > 10000
    assert {round(player["seconds"], 1) for player in visit.players} == {0.4, 0.6}


def test_what_is_missing_says_why(page: Path) -> None:
    html = page.read_text("utf-8")
    assert html.count("No sound: the model ended before the first frame.") == 2
    assert html.count("No recording: this sentence comes from the configuration.") == 2
    assert html.count("Stopped at the length limit") == 2
    assert "not available: switched off" in html


def test_what_made_it_is_told(page: Path) -> None:
    html = page.read_text("utf-8")
    for told in (
        "babble in the right voice",
        "fine-tuning a model that has learned",
        "made for the test",
        "AR training 7, NAR training 7, split 1",
        "torch ",
        "Started from nothing",
        "Started from <code>first</code>",
        "pad a batch are not counted as EOS targets",
        "<dt>Recognizer</dt><dd>switched off; as configured</dd>",
        "Listen: 4 sentences",
        "Ended %",
    ):
        assert told in html, told


def test_each_experiment_names_its_codec_and_why(page: Path) -> None:
    sections = page.read_text("utf-8").split('<section id="')
    for name, codec in zip(("first", "second"), CODECS.values(), strict=True):
        (section,) = (text for text in sections if text.startswith(f'{name}"'))
        told = [f"Codec: <strong>{c['name']}</strong> ({c['reason']})." for c in CODECS.values()]
        assert [line in section for line in told] == [c is codec for c in CODECS.values()]


def test_the_initial_model_is_shown_where_there_is_one(page: Path) -> None:
    first, second = page.read_text("utf-8").split('<section id="')[-2:]
    for told in ("AR Initial Valid", "before any step"):
        assert told not in first
        assert told in second


def test_texts_are_escaped_and_carry_their_language(page: Path) -> None:
    html = page.read_text("utf-8")
    assert "<b>password" not in html
    assert "&lt;b&gt;password" in html
    assert "abc123 &lt;i&gt;" in html
    assert re.search(r'<h4[^>]* lang="fr"[^>]*>Veuillez', html)
    assert re.search(r"<h4[^>]*>\s*null\s*<", html)


def test_ids_are_used_once(page: Path) -> None:
    html = re.sub(r"(?s)<svg.*?</svg>", "", page.read_text("utf-8"))
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) > 10
    referred = re.findall(r'(?:aria-labelledby="|href="#)([^"]*)"', html)
    assert set(referred) <= set(ids)


def test_recordings_are_kept_once(page: Path) -> None:
    # shared by both experiments: one prompt, three recordings, three reconstructions
    names = [path.name for path in (page.parent / "media").iterdir()]
    assert sum("codec" in name for name in names) == 3
    assert len(names) == 1 + 3 + 3 + 2 * 3


def test_the_same_results_give_the_same_page(
    page: Path, results: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    experiments = read_all(*results)
    for number in (1, 2):  # the second time over the first
        write_page(tmp_path / "index.html", tmp_path / "media", experiments)
        assert (tmp_path / "index.html").read_bytes() == page.read_bytes(), number
    write_curves(tmp_path / "a.svg", experiments[0].metrics)
    write_curves(tmp_path / "b.svg", experiments[0].metrics)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


def test_a_lost_file_is_named(results: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    experiment = read_all(*results)[0]
    experiment.clips.loc[0, "wav"] = "gone.wav"
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        write_page(tmp_path / "index.html", tmp_path / "media", [experiment])
    assert not (tmp_path / "index.html").exists()


def test_the_comparison_is_written(results: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    experiments = read_all(*results)
    made_by = {experiment.name: experiment.evaluation["made_by"] for experiment in experiments}
    write_summary(compare(experiments), tmp_path / "summary.md", tmp_path / "summary.csv", made_by)
    assert "- second: data made for the test; codec world" in (tmp_path / "summary.md").read_text()
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table["experiment"]) == ["first", "second"]
    assert {"init", "ar.lr"} <= set(table.columns)
    assert "ar.optimizer" not in table.columns
    assert table["NAR minutes"].isna().tolist() == [False, True]


def test_without_a_browser_the_check_is_skipped_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        chromium()


@pytest.mark.parametrize("harm", ["missing", "outside", "script"])
def test_the_check_sees_what_is_broken(page: Path, tmp_path: Path, harm: str) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copytree(page.parent / "media", copied / "media")
    html = page.read_text("utf-8")
    first = next((copied / "media").iterdir()).name
    if harm == "missing":
        html = re.sub(r'src="media/[^"]*"', 'src="media/gone.wav"', html, count=1)
    elif harm == "outside":
        shutil.copy(copied / "media" / first, tmp_path / "outside.wav")
        html = re.sub(r'src="media/[^"]*"', 'src="../outside.wav"', html, count=1)
    else:
        html = html.replace("<script>", "<script>\nnowhere();")
    (copied / "index.html").write_text(html, "utf-8")
    chromium()  # skips where there is none
    with pytest.raises(AssertionError):
        check_page(copied / "index.html")
