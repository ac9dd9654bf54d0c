"""Growing a model by languages and symbols."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from revoice.model import Part
from revoice.model.checkpoint import save_model
from revoice.model.finetune import grow, load_initial
from revoice.model.valle import AR, BINS, NAR, ModelConfig

CONFIG = ModelConfig("vallex", 32, 2, 4, text_symbols=20, languages=("en", "zh", "ja"), pad=3)
PLAIN = ModelConfig("valle", 32, 3, 2, text_symbols=11, quantizers=4)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def forward(model: AR | NAR, symbols: int, languages: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(symbols, (2, 6), generator=generator)
    codes = torch.randint(BINS, (2, 9, CONFIG.quantizers), generator=generator)
    tongue = torch.randint(languages, (2, 6), generator=generator)
    lens = torch.tensor([6, 5]), torch.tensor([9, 7])
    with torch.inference_mode():
        if isinstance(model, AR):
            return model(text, lens[0], codes, lens[1], tongue)
        return model(text, lens[0], codes, lens[1], 2, 3, tongue)


@pytest.mark.parametrize("kind", [AR, NAR])
@pytest.mark.parametrize("positions", ["symbols", "frames"])
def test_growing(kind: type[AR] | type[NAR], positions: Any) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, text_positions=positions)
    model: Any = kind(config).eval()
    part = "ar" if kind is AR else "nar"
    for buffer in model.buffers():
        buffer.uniform_(1, 5)
    new_languages = {"de": "en", "fr": "mean"}
    grown = grow(model, languages=new_languages, text_symbols=25, seed=1)
    assert grown.config.languages == (*CONFIG.languages, "de", "fr")
    assert grown.config.text_symbols == 25
    assert model.config == config

    before, after = model.state_dict(), grown.state_dict()
    for name, value in before.items():
        assert torch.equal(after[name][: len(value)], value), name
    rows = after[f"{part}_language_embedding.word_embeddings.weight"]
    assert torch.equal(rows[3], rows[0])
    torch.testing.assert_close(rows[4], rows[:3].mean(0))
    symbols = after[f"{part}_text_embedding.word_embeddings.weight"]
    assert symbols[20:].unique(dim=0).shape == (5, CONFIG.width)
    assert symbols[20:].std() < 2 * symbols[:20].std()
    if positions == "frames":
        known = "ar_durations.symbols.weight" if kind is AR else "nar_aligner.says"
        mean = after[known][:20].mean(0)
        torch.testing.assert_close(after[known][20:], mean.expand(5, -1))
    count = (CONFIG.text_symbols, len(CONFIG.languages))
    assert torch.equal(forward(grown, *count), forward(model, *count))
    assert forward(grown, 25, 5).isfinite().all()
    again = grow(model, languages=new_languages, text_symbols=25, seed=1)
    assert equal(again.state_dict(), after)


@pytest.mark.parametrize("kind", [AR, NAR])
def test_a_part_as_its_training_starts_from_it(tmp_path: Path, kind: type[AR] | type[NAR]) -> None:
    """It grows where something is new, is as it was where nothing is, and never shrinks."""
    model: Any = kind(CONFIG)
    part: Part = "ar" if kind is AR else "nar"
    stem = str(tmp_path / "model")
    save_model(stem, model, {"tokenizer": {"name": "vallex"}})
    for symbols in (7, 20):
        start, meta = load_initial(part, stem, {}, symbols, seed=3)
        assert equal(start.state_dict(), model.state_dict())
        assert meta["tokenizer"] == {"name": "vallex"}
    for languages, symbols in (({"de": "mean"}, 7), ({}, 22)):
        start, _ = load_initial(part, stem, languages, symbols, seed=3)
        grown = grow(model, languages, max(symbols, 20), seed=3)
        assert start.config == grown.config
        assert equal(start.state_dict(), grown.state_dict())


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (CONFIG, {"languages": {"en": "zh"}}, '"en" is in the model already'),
        (CONFIG, {"languages": {"de": "nl"}}, '"nl" is neither "mean" nor'),
        (CONFIG, {"text_symbols": 19}, "19 text symbols are fewer than 20"),
        (PLAIN, {"languages": {"de": "mean"}}, "no language embedding"),
    ],
)
def test_growth_that_cannot_be(config: ModelConfig, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grow(AR(config), **changes)
