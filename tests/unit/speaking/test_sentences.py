"""Where sentences end, in many languages, and with pysbd at fault."""

import random
from typing import Any

import pytest

from revoice.speaking import sentences as module
from revoice.speaking.sentences import sentences

# Sentences of a paragraph, with a | where one ends.
SAID = {
    "en": [
        "Dr. Smith came at 10 a.m. on Monday.| He paid $5.50 for v1.2.3, e.g. on www.example.com.",
        "It was 3.14 or 1,000.50.| The U.S. Army is big.| He lives in the U.S.| She does too.",
        "It is 10 a.m.| He left.| Mr. J. R. R. Tolkien wrote it.| See p. 5 of vol. 2.",
        'He said.| \'No!\'| Then he went.| "Is it?" she asked.| "Yes."| (He left.)| Done.',
        "He said, 'She told me: \"No.\"'| And so on.| “Yes.”| ‘No.’| “He said ‘Go!’”| Ok.",
        "Wait... what?| Well… yes.| No way...| He left.| What?!| Really?!",
        "“I went home.| I slept,” he said.",
        "He said 你好。 and left.| She said 再见。| Then she left.",
        "Yahoo! is big.| No space.Then this one.| I said no!!!| Yes.",
        "Great!| 😀 Next one.",
    ],
    "de": [
        "Er kam am 3. Mai z. B. nach Hause.| »Nein!«, sagte er.| Dr. Müller ist da.",
        "Das ist der 1. FC Köln.| Er ging.| »Ja.«| Gut.| „Nein!“| „Ja, bzw. nein.“| Ende.",
    ],
    "fr": ["Il dit : « Non ! »| Puis il partit.| M. Dupont est là.| « Est-ce vrai ? »| Oui."],
    "es": ["¿Qué tal?| ¡Hola!| Sr. Pérez llegó.| Él dijo: «¡No!»| ¿Y tú?| —¡Vamos!"],
    "it": ["Il sig. Rossi è qui.| «Davvero?» chiese lei.| Sì."],
    "ru": ["Он сказал: «Нет!»| И ушёл в XIV веке, т. е. давно.| А. С. Пушкин писал.| Да?"],
    "pl": ["To jest prof. Nowak.| Kto?| Przy ul. 3 Maja.| „Tak.”| Dobrze."],
    # pysbd does not have these
    "pt": ["O Sr. Silva chegou.| Disse: «Não!»| A. B. Costa viu 3.14 e saiu.| Porquê?| Sim."],
    "cs": ["Přišel 3. května.| Dr. Novák je tady.| „Ano!“| Ne."],
    "sv": ["Han kom kl. 10.| Varför?| Ja!"],
    "tr": ["Merhaba!| Nasılsın?| İyiyim.| Ya sen?"],
    "ko": ["안녕하세요.| 저는 학생입니다.| 정말요?| 네!"],
    "el": ["Τι κάνεις;| Είμαι καλά.| Εσύ;| Καλά· ευχαριστώ."],
    "zh": [
        "我很好。|你呢？|真的！|好；再见。|他说：“你好。|我很好！”然后走了。|“好。”|“不好。”走吧……",
        '「真的吗？」她问。|他走了。|“你好吗？”她问。|他说。|"好。"他走了。|"不。"|',
        "你好!|我很好?|再见.",
        "价格是３．１４元。|我……不知道。",
    ],
    "ja": [
        "「本当ですか？」と聞いた。|彼は行った。|はい！|そう。|「はい。」|「いいえ。」|『え？』"
    ],
    "hi": ["यह अच्छा है।| वह गया।| क्या?| हाँ॥| ठीक।"],
    "ar": ["كيف حالك؟| أنا بخير.| شكرا!| نعم، هذا صحيح."],
    "ur": ["یہ کیا ہے؟| یہ کتاب ہے۔| اچھا۔"],
    "he": ["מה שלומך?| אני בסדר.| תודה!"],
    "th": ["สวัสดีครับ วันนี้อากาศดี"],
    "hy": ["Ես լավ եմ։| Իսկ դու՞։"],
    "am": ["ሰላም ነው።| እንዴት ነህ፧| ደህና።"],
}
CASES = [(language, text) for language, texts in SAID.items() for text in texts]
LINES = {
    "a line goes on": ("It was late\nand he went. Then\nhe slept.", 2),
    "a line that ends in a mark": ("why not?\nbecause.\n“yes.”\nno", 4),
    "an abbreviation at its end": ("I saw Dr.\nSmith, i.e.\nhim.", 1),
    "a colon and a list": ("Buy these:\n- apples\n- pears and\nplums\n• figs", 4),
    "numbers": ("Do this\n1. Go in. Sit.\n2. Eat\n10) Leave", 5),
    "a number at the begin of a line": ("It was in room\n12. Then he left.", 2),
    "small letters only": ("hello there. how are you? i am fine! e.g. so", 4),
    "a dash is no bullet": ("He went -\nfar -away", 1),
}
WORDS = [
    *"Yes no Dr. U.S. e.g. 3.14 $5.50 . ... ! ? ?! ( ) [ ] \" ' “ ” ‘ ’ « » 1. a) ii. - —".split(),
    *"& a.m. p. ♬ ☉ ∯ { } \\ \\1 * # 。 ！ 」 「 我 の мир т. ; …".split(),
    *("\n", "\n- ", "\n2."),
]


def cut(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, [language] * len(text))]


@pytest.mark.parametrize(("language", "text"), CASES)
def test_sentences_of_many_languages(language: str, text: str) -> None:
    parts = [part.strip() for part in text.split("|")]
    assert cut(text.replace("|", ""), language) == [part for part in parts if part]


@pytest.mark.parametrize("case", LINES.values(), ids=LINES)
def test_lines(case: tuple[str, int]) -> None:
    text, number = case
    assert len(cut(text, "en")) == number, cut(text, "en")


def test_quotes_open_and_close_with_their_sentences() -> None:
    text = "A “b c.” D «e.» F „g!“ H (i.) J 'k.' L \"m 'n.'\" O [p?] Q {r.} S"
    found = cut(text, "en")
    assert found == "A “b c.”/D «e.»/F „g!“/H (i.)/J 'k.'/L \"m 'n.'\"/O [p?]/Q {r.}/S".split("/")


@pytest.mark.parametrize("language", ["en", "de", "es", "ru", "zh", "ja", "hi", "pt", "el"])
def test_nothing_is_lost_of_any_text(language: str) -> None:
    rng = random.Random(language)
    for _ in range(60):
        words = rng.choices(WORDS, k=rng.randint(1, 60))
        text = "".join(word + " " * (rng.random() < 0.8) for word in words)
        assert "".join("".join(cut(text, language)).split()) == "".join(text.split())


class Faulty:
    """A segmenter that loses what is said, or stops."""

    def __init__(self, stops: bool) -> None:
        self.stops = stops

    def segment(self, text: str) -> list[str]:
        if self.stops:
            raise IndexError("list index out of range")
        return [text[: len(text) // 2]]


@pytest.mark.parametrize("stops", [True, False])
def test_marks_alone_tell_where_pysbd_is_at_fault(
    monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    faulty: dict[str, Any] = {"en": Faulty(stops)}
    monkeypatch.setattr(module, "_pysbd", faulty.get)
    found = cut("I met Mr. J. Smith. He was well. Was he? Yes.", "en")
    assert found == ["I met Mr. J. Smith.", "He was well.", "Was he?", "Yes."]


def test_pysbd_at_fault_in_itself_is_seen() -> None:
    """It takes these signs for its own marks."""
    assert cut("I saw ☉ and ♬. He left. &ᓴ& I did too. So.", "en") == [
        "I saw ☉ and ♬.", "He left.", "&ᓴ& I did too.", "So.",
    ]  # fmt: skip


def test_long_paragraphs_are_read_in_parts() -> None:
    sentence = "Mr. Smith of the U.S. Army came at 10 a.m. and saw no. 5, i.e. the cat. "
    assert cut(sentence * 300, "en") == [sentence.strip()] * 300
    assert cut("word " * 5000 + "end. Yes.", "en")[1:] == ["Yes."]


def test_each_language_of_a_paragraph_has_its_own_abbreviations() -> None:
    texts = {"en": "He came at 10 a.m. on Monday. ", "de": "Er kam z. B. Montag bzw. Dienstag. "}
    languages = [language for language, text in texts.items() for _ in text]
    whole = "".join(texts.values())
    found = [whole[start:end] for start, end in sentences(whole, languages)]
    assert found == [text.strip() for text in texts.values()]
