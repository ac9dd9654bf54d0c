"""The test sentences spoken by the model, and their recordings as the codec gives them back."""

from lhotse import CutSet
from revoice.codec.files import load_codec
from revoice.codec.vocos import load_decoder
from revoice.config import SynthesisConfig
from revoice.devices import best_device, claim_gpus, keep_memory
from revoice.evaluation.sentences import choose_utterances, request_of, write_spoken
from revoice.evaluation.trained import load_trained
from revoice.files import atomic, read_json
from revoice.model.drawing import sampling_of
from revoice.model.generate import synthesize
from revoice.model.sounds import entries_of
from revoice.model.stepping import ready
from revoice.workflow.scripts import script_logging

script_logging(snakemake)
claim_gpus(snakemake.resources.get("gpu", 0))
given, config = snakemake.input, SynthesisConfig(**snakemake.params.synthesis)
device = best_device()
ar, nar, _, tokenizer = load_trained(given.model, given.tokenizer, given.codec, given.test)
codec = load_codec(given.codec, device=device)
choice = read_json(given.decoder) if given.get("decoder") else None
decoder = load_decoder(codec, choice)
utterances = choose_utterances(
    list(CutSet.from_jsonl_lazy(given.test)),
    CutSet.from_jsonl_lazy(given.train),
    config.sentences,
    config.extra,
    config.prompt_seconds,
    config.seed,
)
requests = [request_of(utterance, tokenizer) for utterance in utterances]
sampling = sampling_of(config, codec.frame_rate)
ar, nar = ar.to(device).eval(), nar.to(device).eval()
keep_memory()
ready(ar, nar, config.weights)
entries = entries_of(codec) if config.nar == "expected" else None
how = (config.batch, entries, config.prompted == "both")
spoken = {
    seed: synthesize(ar, nar, requests, sampling, seed, *how)
    for seed in range(config.seed, config.seed + config.repeats)
}
table = write_spoken(snakemake.output.audio, utterances, spoken, decoder)
if choice:
    table["decoder"] = choice["describe"]
with atomic(snakemake.output.sentences) as temporary:
    table.to_csv(temporary, index=False)
