"""The test sentences spoken by the model, and their recordings as the codec gives them back."""

import logging
from pathlib import Path

import pandas as pd
import soundfile
from lhotse import CutSet

from revoice.codec.files import load_codec
from revoice.config import SynthesisConfig
from revoice.devices import best_device, claim_gpus
from revoice.evaluation.sentences import choose_sentences, request_of
from revoice.files import atomic
from revoice.model.checkpoint import load_model
from revoice.model.generate import Sampling, synthesize
from revoice.text import check_tokenizer, load_tokenizer
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
config = SynthesisConfig(**snakemake.params.synthesis)
device = best_device()
ar, nar, meta = load_model(Path(snakemake.input.model).with_suffix(""))
tokenizer = load_tokenizer(snakemake.input.tokenizer)
check_tokenizer(tokenizer, meta)
codec = load_codec(snakemake.input.codec, device=device)
sentences = choose_sentences(
    list(CutSet.from_jsonl_lazy(snakemake.input.test)),
    CutSet.from_jsonl_lazy(snakemake.input.train),
    config.sentences,
    config.extra,
    config.prompt_seconds,
    config.seed,
)
requests = [request_of(sentence, tokenizer) for sentence in sentences]
sampling = Sampling(config.top_k, config.top_p, config.temperature, config.best_of)
spoken = synthesize(
    ar.to(device).eval(), nar.to(device).eval(), requests, sampling, config.seed, config.batch
)


folder = Path(snakemake.output.audio)
folder.mkdir(parents=True, exist_ok=True)


def decoded(codes, name):
    """Write codes as audio; the file's path."""
    path = folder / f"{name}.wav"
    soundfile.write(path, codec.decode(codes), codec.sample_rate, subtype="PCM_16")
    return path.as_posix()


rows = []
for sentence, result in zip(sentences, spoken, strict=True):
    if not len(result.codes):
        logging.warning("%s: EOS at the first step, nothing is spoken", sentence.id)
    elif not result.ended:
        logging.warning("%s: no EOS within %d frames", sentence.id, len(result.codes))
    cut = sentence.cut
    rows.append(
        {
            "id": sentence.id,
            "text": sentence.text,
            "language": sentence.language,
            "speaker": sentence.speaker,
            "prompt_id": sentence.prompt.id,
            "recording": cut.recording.sources[0].source if cut else None,
            "prompt": sentence.prompt.recording.sources[0].source,
            "reconstruction": decoded(cut.load_codes(), f"{sentence.id}-codec") if cut else None,
            "synthesis": decoded(result.codes, sentence.id) if len(result.codes) else None,
            "ended": result.ended,
            "frames": len(result.codes),
        }
    )
with atomic(snakemake.output.sentences) as temporary:
    pd.DataFrame(rows).to_csv(temporary, index=False)
