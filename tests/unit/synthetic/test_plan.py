"""Which sentence each voice reads: parts, shares, what is held out."""

import pytest

from revoice.config import CorpusConfig
from revoice.synthetic.parts import parts_of
from revoice.synthetic.plan import HeldOut, key, plan
from revoice.synthetic.texts import clean_sentence, read_unwanted

NOTHING = HeldOut([], [])
WORDS = "ten green bottles stood on that long wall when morning came to town".split()


def corpus(**values: object) -> CorpusConfig:
    return CorpusConfig.model_validate({"kind": "synthetic", "voices": {"heart": 5}, **values})


def sentences(count: int = 900) -> dict[str, list[str]]:
    sources = ("wordnet examples", "wordnet definitions", "austen", "bible")
    return {
        source: [f"{' '.join(WORDS[i % 5 : i % 5 + 7])} {source} {i}." for i in range(count)]
        for source in sources
    }


def test_parts_are_known_from_the_configuration_alone() -> None:
    parts = parts_of(corpus(voices={"heart": 5, "af_bella+am_puck@0.9": 1}))
    assert [part.name for part in parts] == [
        "heart/0000",
        "heart/0001",
        "heart/0002",
        "af_bella+am_puck@0.9/0000",
    ]
    assert [part.seconds for part in parts] == [120, 120, 60, 60]


def test_the_same_seed_the_same_plan_and_no_text_twice() -> None:
    lines = plan(corpus(), sentences(), NOTHING)
    assert lines == plan(corpus(), sentences(), NOTHING)
    assert lines != plan(corpus(seed=2), sentences(), NOTHING)
    assert len({key(line.text) for line in lines}) == len(lines)
    assert len({line.path for line in lines}) == len(lines)


def test_templates_have_their_share() -> None:
    lines = plan(corpus(voices={"heart": 20}, templates=0.3), sentences(), NOTHING)
    share = sum(line.source == "templates" for line in lines) / len(lines)
    assert 0.24 < share < 0.36
    assert not any(
        line.source == "templates" for line in plan(corpus(templates=0.0), sentences(), NOTHING)
    )


def test_nothing_that_is_held_out_is_read() -> None:
    first = plan(corpus(), sentences(), NOTHING)
    whole = first[0].text.upper().rstrip(".") + " !"
    row = next(line.text for line in first[1:] if line.source == "austen")
    held_out = HeldOut([whole], [f"Something and {row}"])
    second = plan(corpus(), sentences(), held_out)
    assert key(first[0].text) not in {key(line.text) for line in second}
    run = tuple(row.lower().split()[:6])
    assert not any(run == tuple(line.text.lower().split()[:6]) for line in second)


def test_figures_and_words_are_the_same_text() -> None:
    assert "Press 1 now." in HeldOut(["press one, now"], [])
    assert "Press two now." not in HeldOut(["press one, now"], [])


def test_too_few_sentences_say_so() -> None:
    with pytest.raises(ValueError, match="not enough sentences for 500 minutes"):
        plan(corpus(voices={"heart": 500}, templates=0.0), sentences(50), NOTHING)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a  wrenching pain", "A wrenching pain."),
        ("“Well,” said she -- “come”", "Well, said she, come."),
        ("Mr. Knightley came.", "Mister Knightley came."),
        ("born in 1809", None),
        ("e g a horse", None),
        ("CHAPTER ONE is here", None),
        ("word", None),
        ("the murderer was seen", None),
    ],
)
def test_clean_sentences(text: str, clean: str | None) -> None:
    assert clean_sentence(text, read_unwanted()) == clean


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"voices": {}}, "needs `voices`"),
        ({"voices": {"af_bela": 5}}, "af_bela is none of heart"),
        ({"voices": {"heart+af_bella": 5}}, "heart is none of heart|heart"),
        ({"voices": {"heart": 0}}, "has 0 minutes"),
        ({"voices": {"heart@low": 5}}, '"low" is no factor of pitch between 0.7 and 1.4'),
        ({"voices": {"af_bella@1.5": 5}}, '"1.5" is no factor of pitch between 0.7 and 1.4'),
        ({"voices": {"heart@": 5}}, '"" is no factor'),
        ({"languages": ["es"]}, "is English"),
    ],
)
def test_what_cannot_be_spoken_is_refused(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        corpus(**values)
