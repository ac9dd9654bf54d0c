"""Lhotse manifests of a corpus: recordings, supervisions, and cuts split into train, dev, test."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet, validate
from lhotse.cut import MonoCut
from lhotse.qa import validate_recordings_and_supervisions
from lhotse.recipes import prepare_libritts, prepare_ljspeech

from revoice.config import CorpusConfig, SplitConfig
from revoice.corpus.index import TEXT_SUFFIXES, read_table
from revoice.corpus.naming import corpus_root
from revoice.files import atomic

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


class Transcript(NamedTuple):
    """What is said in a recording, by whom, in which language."""

    text: str
    speaker: str
    language: str


@dataclass(frozen=True)
class Rejected:
    """A file that does not come through, and why."""

    path: str
    reason: str


def transcripts(corpus: CorpusConfig, paths: Iterable[str]) -> dict[str, Transcript | str]:
    """The transcript of each file in `paths` (below the corpus root), or why there is none.

    Raises:
        ValueError: the corpus is not laid out as its kind says.
    """
    root = corpus_root(corpus)
    language = corpus.languages[0]
    rows, said = {}, {}
    paths = list(paths)
    if corpus.kind == "table":
        rows = {row["path"]: row for row in read_table(str(corpus.path))}
    elif corpus.kind in {"libritts", "ljspeech"}:
        said = _by_recipe(corpus.kind, root, paths)
    found: dict[str, Transcript | str] = {}
    for path in paths:
        parts = Path(path).parts
        speaker = corpus.speaker or (root / path).absolute().parent.name
        if corpus.kind == "table":
            text, why = rows[path]["text"], "its text in the table is empty"
            speaker = rows[path].get("speaker") or corpus.speaker or "speaker"
            language = rows[path].get("language") or corpus.languages[0]
        elif corpus.kind == "ljspeech":
            text, why = said.get(Path(path).stem, ""), "metadata.csv has no text for it"
            speaker = corpus.speaker or "LJ"
        elif Path(path).stem in said:
            text, why = said[Path(path).stem], "its text in *.trans.tsv is empty"
        else:
            text, why = _text_beside(root / path)
        if corpus.kind == "asterisk":
            speaker, language = f"asterisk-{parts[0]}", parts[0]
        elif corpus.kind == "libritts":  # part/speaker/chapter/utterance.wav
            speaker = parts[-3] if len(parts) > 2 else "speaker"
        text = " ".join(text.split())
        found[path] = Transcript(text, speaker, language) if text else why
    return found


def _by_recipe(kind: str, root: Path, paths: list[str]) -> dict[str, str]:
    """Texts by Lhotse's recipe for LJSpeech, or for LibriTTS where it has `*.trans.tsv`.

    The recipes read every recording that they find and stop at a damaged one: they are shown
    those alone that are asked for.
    """
    tables = {"ljspeech": ["metadata.csv"], "libritts": ["*.trans.tsv", "*.book.tsv"]}[kind]
    found = [file.relative_to(root) for pattern in tables for file in root.rglob(pattern)]
    parts = {Path(path).parts[0] for path in paths} & {file.parts[0] for file in found}
    if not paths or (kind == "libritts" and not parts):
        return {}
    with TemporaryDirectory() as folder:
        for file in [*map(Path, paths), *found]:
            link = Path(folder) / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / file).resolve())
        try:
            if kind == "ljspeech":
                segments = prepare_ljspeech(folder)["supervisions"]
                return {s.recording_id: s.custom["normalized_text"] for s in segments}
            manifests = prepare_libritts(folder, dataset_parts=sorted(parts))
            return {s.recording_id: s.text for m in manifests.values() for s in m["supervisions"]}
        except (AssertionError, OSError, ValueError) as error:
            raise ValueError(
                f"{root} is not laid out as a corpus of kind {kind}: {error}"
            ) from error


def _text_beside(path: Path) -> tuple[str, str]:
    """The text in the file beside a recording, and what is wrong if there is none."""
    for suffix in TEXT_SUFFIXES:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            try:
                return beside.read_text("utf-8-sig"), f"{beside.name} is empty"
            except UnicodeDecodeError:
                return "", f"{beside.name} is not UTF-8"
    return "", f"has no transcript: neither {path.stem}.normalized.txt nor {path.stem}.txt is there"


def text_key(text: str) -> str:
    """What makes two texts the same: their words, without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _position(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on the seed and the key alone."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _shares(keys: Iterable[str], config: SplitConfig) -> Callable[[str], Split]:
    """Assign each key by its own hash, so that a key added or gone moves no other.

    Where no key falls into a split that should have some, the nearest one goes there.
    """
    ordered = sorted(set(keys), key=lambda key: _position(config.seed, key))
    test = {k for k in ordered if _position(config.seed, k) < config.test}
    if not test and config.test and len(ordered) > 2:
        test = {ordered[0]}
    rest = [k for k in ordered if k not in test]
    dev = {k for k in rest if _position(config.seed, k) < config.test + config.dev}
    if not dev and config.dev and len(rest) > 1:
        dev = {rest[0]}
    return lambda key: "test" if key in test else "dev" if key in dev else "train"


def split_of(
    said: dict[str, Transcript], corpus: CorpusConfig, config: SplitConfig
) -> dict[str, Split | None]:
    """Which split each file is in. None: its text is in test and must not be in train.

    By text: every recording of a text is in the same split. By speaker: whole speakers, those
    named or a seeded share. A LibriTTS part with a split of its own goes there; of the parts
    for train, a share of the texts becomes dev unless a part is dev.
    """
    splits: dict[str, Split | None] = {}
    if corpus.splits:
        has_dev = "dev" in corpus.splits.values()
        only_dev = config.model_copy(update={"test": 0.0, "dev": 0.0 if has_dev else config.dev})
        share = _shares((text_key(said[path].text) for path in said), only_dev)
        for path, transcript in said.items():
            of_part = corpus.splits.get(Path(path).parts[0], "train")
            splits[path] = share(text_key(transcript.text)) if of_part == "train" else of_part
    elif config.by == "speaker":
        named = bool(config.dev_speakers or config.test_speakers)
        by_share = _shares((transcript.speaker for transcript in said.values()), config)
        for path, transcript in said.items():
            if transcript.speaker in config.test_speakers:
                splits[path] = "test"
            elif transcript.speaker in config.dev_speakers:
                splits[path] = "dev"
            else:
                splits[path] = "train" if named else by_share(transcript.speaker)
    else:
        share = _shares((text_key(transcript.text) for transcript in said.values()), config)
        return {path: share(text_key(transcript.text)) for path, transcript in said.items()}
    held_out = {text_key(said[path].text) for path, split in splits.items() if split == "test"}
    for path, chosen in splits.items():
        if chosen == "train" and text_key(said[path].text) in held_out:
            splits[path] = None
    return splits


def write_manifests(
    name: str,
    corpus: CorpusConfig,
    config: SplitConfig,
    shards: dict[str, tuple[Path, dict[str, str]]],
    folder: Path,
    strict: bool = False,
) -> list[Rejected]:
    """Write `recordings`, `supervisions`, `cuts_train`, `cuts_dev`, `cuts_test` (`.jsonl.gz`).

    One cut per recording, in the order of the shards; `cut.shard` says which holds its codes.
    Every shard's manifests are validated by Lhotse before they are written.

    Args:
        shards: for each shard its `RecordingSet` file and the paths by recording id.

    Returns:
        What was left out for its transcript.

    Raises:
        ValueError: nothing is left; or with `strict`, a transcript is missing.
    """
    paths = [path for _, by_id in shards.values() for path in by_id.values()]
    found = transcripts(corpus, paths)
    said = {path: t for path, t in found.items() if isinstance(t, Transcript)}
    rejected = [Rejected(path, t) for path, t in found.items() if not isinstance(t, Transcript)]
    if strict and rejected:
        first = rejected[0]
        raise ValueError(
            f"corpora.{name}: {len(rejected)} recordings have no usable transcript, first "
            f"{first.path}: {first.reason}. Add it, or set audio.strict: false to leave them out."
        )
    splits = split_of(said, corpus, config)
    rejected += [
        Rejected(path, "its text is in the test split, and must not be trained on")
        for path, split in splits.items()
        if split is None
    ]
    counts = dict.fromkeys(SPLITS, 0)
    with ExitStack() as stack:

        def writer(kind: Any, file: str) -> Any:
            target = stack.enter_context(atomic(folder / f"{file}.jsonl.gz"))
            return stack.enter_context(kind.open_writer(target))

        recordings = writer(RecordingSet, "recordings")
        supervisions = writer(SupervisionSet, "supervisions")
        cuts = {split: writer(CutSet, f"cuts_{split}") for split in SPLITS}
        for shard, (file, by_id) in sorted(shards.items()):
            batch = [
                (recording, split, said[by_id[recording.id]])
                for recording in RecordingSet.from_jsonl_lazy(file)
                if (split := splits.get(by_id[recording.id]))
            ]
            for recording, split, segment, cut in _entries(f"{name}/{shard}", batch):
                recordings.write(recording)
                supervisions.write(segment)
                cuts[split].write(cut)
                counts[split] += 1
        if not any(counts.values()):
            reasons = "".join(f"\n  {row.path} {row.reason}" for row in rejected[:10])
            raise ValueError(
                f"corpora.{name}: no recording with a transcript is left. Why files were "
                f"rejected is in {folder / 'audio'}/*.csv{', and:' if reasons else '.'}{reasons}"
            )
    for split, count in counts.items():
        logging.info("%s: %d cuts", split, count)
    return rejected


def _entries(
    shard: str, batch: list[tuple[Recording, Split, Transcript]]
) -> Iterator[tuple[Recording, Split, SupervisionSegment, MonoCut]]:
    """Recording, split, supervision and cut of each item, validated together."""
    entries = []
    for recording, split, transcript in batch:
        segment = SupervisionSegment(
            id=recording.id,
            recording_id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=0,
            text=transcript.text,
            language=transcript.language,
            speaker=transcript.speaker,
        )
        cut = MonoCut(
            id=recording.id,
            start=0.0,
            duration=recording.duration,
            channel=0,
            recording=recording,
            supervisions=[segment],
            custom={"shard": shard},
        )
        entries.append((recording, split, segment, cut))
    if entries:
        validate_recordings_and_supervisions(
            RecordingSet.from_recordings(entry[0] for entry in entries),
            SupervisionSet.from_segments(entry[2] for entry in entries),
        )
        validate(CutSet.from_cuts(entry[3] for entry in entries))
    yield from entries
