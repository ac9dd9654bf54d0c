"""The voices of a model: prompts of those whom it was trained on, the ones that sound best."""

from collections import Counter

import librosa
from lhotse import CutSet
from revoice.config import SynthesisConfig
from revoice.evaluation.measures import dnsmos
from revoice.evaluation.recognizers import RATE
from revoice.evaluation.trained import load_trained
from revoice.files import atomic, read_json
from revoice.model.prompts import Origin
from revoice.speaking.voices import choose_voices, write_voices
from revoice.workflow.scripts import script_logging


def listen(cut):
    """How good it sounds; None where nobody asks."""
    if not snakemake.params.dnsmos:
        return None
    samples = librosa.resample(cut.load_audio()[0], orig_sr=cut.sampling_rate, target_sr=RATE)
    return round(dnsmos(samples), 3)


script_logging(snakemake)
given, config = snakemake.input, SynthesisConfig(**snakemake.params.synthesis)
_, nar, _, tokenizer = load_trained(given.model, given.tokenizer, given.codec, given.train)
cuts = list(CutSet.from_jsonl_lazy(given.train))
chosen = choose_voices(cuts, config.prompt_seconds, config.seed, listen)
spoken = Counter()
for cut in cuts:
    spoken[cut.supervisions[0].language] += cut.duration
languages = [language for language, _ in spoken.most_common()]
origin = Origin(tokenizer.digest(), read_json(given.codec)["sha256"])
aligner = nar.nar_aligner if nar.config.text_positions == "frames" else None
with atomic(snakemake.output.folder) as folder:
    write_voices(folder, chosen, languages, snakemake.params.synthesis, origin, aligner)
