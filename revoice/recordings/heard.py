"""Supervisions of segments: what Whisper heard in them, or what was given, matched to that."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from lhotse import SupervisionSegment
from lhotse.cut import Cut
from lhotse.supervision import AlignmentItem

from revoice.recordings.given import deal_out
from revoice.recordings.transcribe import Hear, Heard, transcribe

DIGITS = 3  # of confidence, and of seconds of words


def supervise(
    cuts: Iterable[Cut],
    hear: Hear,
    language: str | None,
    transcript: Callable[[str], str | None],
) -> Iterator[SupervisionSegment]:
    """A supervision for each segment, in their order, with the segment's times in the recording.

    `custom` holds `source` (`recognised`, `transcript` or `subtitles`), and of what was heard
    `confidence` and `sureness` (that it is in the language `found`), 0 to 1; of a transcript also
    `matched`, the share that was heard. Its words stand in the alignment `word`.

    Args:
        hear: asked for nothing that is not needed: segments that have a text are not heard, unless
            their language has to be found.
        language: of all of them; None: as it is found in each.
        transcript: by recording id, the text of a whole recording, or None.
    """
    for recording, of_recording in groupby(cuts, key=lambda cut: cut.recording_id):
        given = list(of_recording)
        to_hear = (cut for cut in given if not cut.supervisions or language is None)
        heard = transcribe(to_hear, hear, language)
        text = transcript(recording)
        if text is not None and not any(cut.supervisions for cut in given):
            yield from _dealt_out(text, given, list(heard), language)
            continue
        for cut in given:
            found = None if cut.supervisions and language else next(heard)
            spoken = language or (found.language if found else "")
            if cut.supervisions:
                yield _supervision(cut, cut.supervisions[0].text, spoken, "subtitles", found)
            elif found:
                yield _supervision(cut, found.text, spoken, "recognised", found)


def _dealt_out(
    text: str, cuts: Sequence[Cut], heard: Sequence[Heard], language: str | None
) -> Iterator[SupervisionSegment]:
    """Of a transcript of all of a recording, to each segment what is said in it."""
    spoken = language or max((h.language for h in heard), key=[h.language for h in heard].count)
    parts = deal_out(text, [found.text for found in heard], spoken)
    for cut, found, part in zip(cuts, heard, parts, strict=True):
        said = _supervision(cut, part.text, spoken, "transcript", found)
        said.custom = {**(said.custom or {}), "matched": round(part.matched, DIGITS)}
        yield said


def _supervision(
    cut: Cut, text: str, language: str, source: str, heard: Heard | None = None
) -> SupervisionSegment:
    speaker = cut.supervisions[0].speaker if cut.supervisions else None
    custom: dict[str, object] = {"source": source}
    words = []
    if heard is not None:
        custom |= {"confidence": round(heard.confidence, DIGITS), "found": heard.language}
        custom["sureness"] = round(heard.sureness, DIGITS)
        for word in heard.words:
            begin, length = cut.start + word.begin, word.end - word.begin
            times = round(begin, DIGITS), round(length, DIGITS)
            words.append(AlignmentItem(word.text.strip(), *times, round(word.probability, DIGITS)))
    return SupervisionSegment(
        cut.id,
        cut.recording_id,
        cut.start,
        cut.duration,
        text=text,
        language=language,
        speaker=speaker,
        custom=custom,
        alignment={"word": words} if words else None,
    )
