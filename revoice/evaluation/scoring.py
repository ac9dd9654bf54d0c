"""Speech measured: word error rate, speaker similarity, DNSMOS and duration.

Every measure is a package of its own that may be missing or fail on a clip; then the reason
stands where the number would be, and the other measures go on.
"""

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jiwer
import librosa
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from revoice.config import ScoreConfig
from revoice.evaluation.normalize import join_compounds, normalize
from revoice.report.tables import made_by_lines

RATE = 16000  # Hz: what all three models hear
LONG = 6  # words from which on a sentence counts in `wer_6`
KINDS = {
    "recording": "Recording",
    "reconstruction": "Codec reconstruction",
    "synthesis": "Synthesis",
}
COLUMNS = ["id", "text", "language", "speaker", "prompt_id", "prompt", *KINDS]
MEASURES = ("transcript", "similarity", "dnsmos")

log = logging.getLogger(__name__)


def score_sentences(
    sentences: pd.DataFrame, config: ScoreConfig, threads: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every sentence as recording, codec reconstruction and synthesis.

    Args:
        sentences: one row per sentence with the columns `COLUMNS`. `prompt`, `recording`,
            `reconstruction` and `synthesis` are paths of audio files, empty where there is
            none; other columns (`ended`, `frames`) are carried along.
        config: which recognizer and which measures; None leaves one out.
        threads: processes that measure clips side by side.

    Returns:
        Clips, one row per sentence and kind (see `measure_clip` for its numbers; `words` and
        `errors` are those of the word error rate, `notes` says what could not be measured and
        why), and the summary of `summarize`. Neither depends on `threads`.

    Raises:
        ValueError: a column is missing.
        FileNotFoundError: a file that a row names does not exist.
    """
    if missing := [column for column in COLUMNS if column not in sentences.columns]:
        raise ValueError(f"the table of sentences lacks the columns {', '.join(missing)}")
    rows = [_clip(sentence, kind) for _, sentence in sentences.iterrows() for kind in KINDS]
    for row in rows:
        for path in (row["wav"], row["prompt"]):
            if path and not Path(path).is_file():
                raise FileNotFoundError(f"{path}, of sentence {row['id']!r}, does not exist")
    started = time.perf_counter()
    measured = Parallel(n_jobs=threads)(
        delayed(measure_clip)(row["wav"], row["language"], row["prompt"], config) for row in rows
    )
    seconds = time.perf_counter() - started
    log.info("%d clips in %.1f s, %.2f s each", len(rows), seconds, seconds / max(len(rows), 1))
    clips = pd.DataFrame(
        [_counted(row | values) for row, values in zip(rows, measured, strict=True)]
    )
    return clips, summarize(clips, config)


def measure_clip(path: str, language: str, prompt: str, config: ScoreConfig) -> dict[str, Any]:
    """Measure one clip; the result depends on nothing that was measured before it.

    Args:
        path: an audio file, or "" for a clip that does not exist.
        language: of the text, e.g. "en" or "en-us".
        prompt: another recording of the same speaker, or "".
        config: which measures.

    Returns:
        `transcript` (str), `similarity` (cosine of speaker embeddings, -1 to 1), `dnsmos`
        (overall quality, 1 to 5), `seconds`; None for what is left out or failed, and `notes`,
        {measure: reason}, for what failed.
    """
    result: dict[str, Any] = dict.fromkeys((*MEASURES, "seconds"))
    notes: dict[str, str] = {}
    result["notes"] = notes
    if not path:
        return result
    samples, _ = librosa.load(path, sr=RATE, mono=True)
    result["seconds"] = round(len(samples) / RATE, 3)
    measures: dict[str, Callable[[], Any]] = {
        "transcript": lambda: transcribe(samples, language, config),
        "similarity": lambda: round(speaker_similarity(samples, prompt), 4),
        "dnsmos": lambda: round(dnsmos(samples), 3),
    }
    switched_on = (config.recognizer, config.similarity, config.dnsmos)
    for name, wanted in zip(MEASURES, switched_on, strict=True):
        if wanted is None:
            continue
        try:
            result[name] = measures[name]()
        except Exception as error:  # whatever a measure's package raises, the others go on
            notes[name] = " ".join(str(error).split()) or type(error).__name__
    return result


def transcribe(samples: np.ndarray, language: str, config: ScoreConfig) -> str:
    """What the configured recognizer hears in (N,) float32 samples at 16 kHz.

    Raises:
        ValueError: a language other than English with pocketsphinx.
    """
    language = language.split("-")[0]
    if config.recognizer == "whisper":
        segments, _ = _whisper(str(config.whisper_model)).transcribe(
            samples, language=language, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)
    if language != "en":
        raise ValueError(f"pocketsphinx's own model knows English only, not {language!r}")
    decoder = _pocketsphinx()
    decoder.reinit_feat()  # else the running mean of one clip's features changes the next clip
    decoder.start_utt()
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


def speaker_similarity(samples: np.ndarray, prompt: str) -> float:
    """Cosine of the speaker embeddings of (N,) float32 samples at 16 kHz and of a file.

    Raises:
        ValueError: there is no prompt, or one of the two holds no voice.
    """
    if not prompt:
        raise ValueError("no other recording of this speaker to compare with")
    return float(np.dot(_embedding(samples), _prompt_embedding(prompt)))


def dnsmos(samples: np.ndarray) -> float:
    """DNSMOS P.835 overall quality, 1 to 5, of (N,) float32 samples at 16 kHz."""
    if not len(samples):
        raise ValueError("the clip is empty")
    return float(_dnsmos()(np.clip(samples, -1, 1), RATE, False)["ovrl_mos"])


def word_errors(text: str, transcript: str, language: str = "en") -> tuple[int, int]:
    """Errors (substitutions, deletions, insertions) and words of a text, both sides normalized."""
    reference = normalize(text, language)
    if not reference:
        return 0, 0
    hypothesis = join_compounds(normalize(transcript, language), reference)
    counts = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return counts.substitutions + counts.deletions + counts.insertions, len(reference)


def summarize(clips: pd.DataFrame, config: ScoreConfig) -> pd.DataFrame:
    """One row per kind over the sentences that have a recording.

    Columns: `row`; `clips`, those that exist; `wer`, all errors over all words; `wer_6`, the same
    over sentences of six words or more; `similarity`, `dnsmos` and `seconds`, means over the
    clips; `words`, `words_6`; `wer_by`, `similarity_by`, `dnsmos_by`, the packages with their
    versions; `notes`. A measure without a number says "not available: " and why.
    """
    recorded = clips.loc[(clips["kind"] == "recording") & (clips["wav"] != ""), "id"]
    by = measured_by(config)
    rows = []
    for kind, title in KINDS.items():
        of_kind = clips[(clips["kind"] == kind) & clips["id"].isin(recorded)]
        heard = of_kind[of_kind["errors"].notna()]
        long = heard[heard["words"] >= LONG]
        rows.append(
            {
                "row": title,
                "clips": int((of_kind["wav"] != "").sum()),
                "wer": _rate(heard, of_kind, config.recognizer),
                "wer_6": _rate(long, of_kind, config.recognizer),
                "similarity": _mean(of_kind, "similarity", config.similarity),
                "dnsmos": _mean(of_kind, "dnsmos", config.dnsmos),
                "seconds": _mean(of_kind, "seconds", "duration"),
                "words": int(heard["words"].sum()),
                "words_6": int(long["words"].sum()),
                **by,
                "notes": _remarks(of_kind),
            }
        )
    return pd.DataFrame(rows)


def measured_by(config: ScoreConfig) -> dict[str, str]:
    """The packages behind the columns, with versions: {"wer_by": "pocketsphinx 5.1.1", ...}."""
    recognizer = "faster-whisper" if config.recognizer == "whisper" else config.recognizer
    named = {"wer_by": recognizer, "similarity_by": config.similarity, "dnsmos_by": config.dnsmos}
    by = {column: _with_version(package) for column, package in named.items()}
    if config.recognizer == "whisper":
        by["wer_by"] += f", {Path(str(config.whisper_model)).name}"
    return by


def scores_markdown(summary: pd.DataFrame, made_by: Mapping[str, str]) -> str:
    """The summary as a Markdown table with what its rows and columns mean and what made it."""
    by = summary.iloc[0]
    titles = {
        "row": "",
        "clips": "Clips",
        "wer": f"WER % ({by['wer_by']})",
        "wer_6": f"WER %, {LONG} words or more",
        "similarity": f"Speaker similarity ({by['similarity_by']})",
        "dnsmos": f"DNSMOS ({by['dnsmos_by']})",
        "seconds": "Mean seconds",
    }
    shown = summary[list(titles)].astype(object)
    for column in titles:
        shown[column] = [score_text(column, value) for value in summary[column]]
    aligned = ["left", *["right"] * (len(titles) - 1)]
    table = shown.rename(columns=titles)
    lines = [table.to_markdown(index=False, disable_numparse=True, colalign=aligned), ""]
    lines += [f"- {remark}" for remark in explanations(summary)]
    lines += made_by_lines(made_by)
    return "\n".join(lines) + "\n"


def score_text(column: str, value: Any) -> str:
    """A number of the summary as it is shown; a reason stays as it is."""
    if isinstance(value, str) or column == "clips":
        return str(value)
    return f"{100 * value:.1f}" if column.startswith("wer") else f"{value:.2f}"


def explanations(summary: pd.DataFrame) -> list[str]:
    """What the rows and columns of the summary mean, one sentence or two each, and its notes."""
    words, long = summary.iloc[0][["words", "words_6"]]
    return [
        "Recording: what the measures say of the human speaker. It is the ceiling: the recognizer's"
        " own mistakes are in it.",
        "Codec reconstruction: the recording through the codec and back. It is the ceiling of any"
        " synthesis from these codes.",
        "Synthesis: the text spoken by the model. A sentence without sound counts as all its words"
        " missed. Sentences without a recording are not in the table.",
        f"WER: word errors over all {words} words ({long} in sentences of {LONG} words or more),"
        " lower is better, above 100 is possible. Numbers and spellings are normalized on both"
        " sides. A recognizer's language model has little to go on in one or two words, so the"
        " second column is the steadier one.",
        "Speaker similarity: cosine between the clip and the prompt, another recording of the same"
        " speaker, 1 at most. DNSMOS: estimated quality, 1 to 5. Both are means over the clips.",
        *(f"{row['row']}: {row['notes']}" for _, row in summary.iterrows() if row["notes"]),
    ]


def _clip(sentence: pd.Series, kind: str) -> dict[str, Any]:
    """The columns of one clip that are known before it is measured."""
    texts = {c: _text(sentence[c]) for c in ("id", "text", "language", "speaker", "prompt_id")}
    carried = {c: sentence[c] for c in sentence.index if c not in COLUMNS}
    # a recording compared with itself would look like a perfect voice
    prompt = "" if texts["prompt_id"] == texts["id"] else _text(sentence["prompt"])
    return texts | {"prompt": prompt, "kind": kind, "wav": _text(sentence[kind])} | carried


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """A clip with its word errors and its notes as one line."""
    transcript, notes = row["transcript"], row["notes"]
    row["words"], row["errors"] = len(normalize(row["text"], row["language"])), None
    if not row["wav"] and row["kind"] == "synthesis":
        transcript = ""
        notes = {"synthesis": "no sound, so all words count as missed"}
    if transcript is not None:
        row["errors"] = word_errors(row["text"], transcript, row["language"])[0]
    row["notes"] = "; ".join(f"{measure}: {reason}" for measure, reason in notes.items())
    return row


def _rate(heard: pd.DataFrame, of_kind: pd.DataFrame, wanted: str | None) -> float | str:
    if wanted is None:
        return "not available: switched off"
    # a kind whose clips were never heard has no rate, even if missing clips count as errors
    if of_kind["transcript"].notna().any() and heard["words"].sum():
        return round(float(heard["errors"].sum() / heard["words"].sum()), 4)
    return f"not available: {_reason(of_kind, 'transcript')}"


def _mean(of_kind: pd.DataFrame, measure: str, wanted: str | None) -> float | str:
    if wanted is None:
        return "not available: switched off"
    values = of_kind[measure].dropna()
    if len(values):
        return round(float(values.mean()), 4)
    return f"not available: {_reason(of_kind, measure)}"


def _reasons(of_kind: pd.DataFrame, measure: str) -> pd.Series:
    """How often each reason stands in the notes for a measure, most frequent first."""
    return of_kind["notes"].str.extract(rf"(?:^|; ){measure}: ([^;]*)")[0].value_counts()


def _reason(of_kind: pd.DataFrame, measure: str) -> str:
    if not (of_kind["wav"] != "").any():
        return "no clips"
    reasons = _reasons(of_kind, measure)
    return str(reasons.index[0]) if len(reasons) else "no words to compare"


def _remarks(of_kind: pd.DataFrame) -> str:
    """What a reader of the summary must know: clips left out of a number, and why."""
    remarks = []
    for measure in (*MEASURES, "synthesis"):
        for reason, count in _reasons(of_kind, measure).items():
            remarks.append(f"{measure} of {count} of {len(of_kind)} sentences: {reason}")
    return "; ".join(remarks)


def _with_version(package: str | None) -> str:
    if package is None:
        return "switched off"
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package}, not installed"


# Models are loaded once per process, on first use.


@cache
def _pocketsphinx() -> Any:
    decoder = importlib.import_module("pocketsphinx").Decoder
    return decoder(samprate=RATE, loglevel="FATAL")


@cache
def _whisper(model: str) -> Any:
    whisper = importlib.import_module("faster_whisper").WhisperModel
    return whisper(model, device="auto", compute_type="auto", cpu_threads=1)


@cache
def _dnsmos() -> Any:
    """speechmos's DNSMOS whose two networks take one thread each, not the whole machine."""
    module = importlib.import_module("speechmos.dnsmos")
    ort = importlib.import_module("onnxruntime")
    folder = Path(str(module.__file__)).parent / "dnsmos_models"
    models = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    scorer = module.DNSMOS(*models)
    scorer.onnx_sess, scorer.p808_onnx_sess = (
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for model in models
    )
    return scorer


@cache
def _voice_encoder() -> Any:
    return importlib.import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)


def _embedding(samples: np.ndarray) -> np.ndarray:
    """(256,) float32 speaker embedding of length 1."""
    encoder = _voice_encoder()
    if not np.any(samples):
        raise ValueError("silence: no voice to compare")
    voiced = importlib.import_module("resemblyzer").preprocess_wav(samples)
    if not len(voiced):
        raise ValueError("no voice was found in it")
    return encoder.embed_utterance(voiced)


@lru_cache(maxsize=1024)
def _prompt_embedding(path: str) -> np.ndarray:
    return _embedding(librosa.load(path, sr=RATE, mono=True)[0])
