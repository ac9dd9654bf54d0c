"""Audio of many cuts to codes: stored by Lhotse, attached to the cuts."""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from lhotse import CutSet, NumpyHdf5Writer
from lhotse.cut import MonoCut
from numpy.typing import NDArray

from revoice.codec.encodec import EncodecCodec, encode_batch
from revoice.codec.files import Codec
from revoice.files import atomic

log = logging.getLogger(__name__)

DIGITS = 16  # of the digest of a cut's codes
# Audio that goes through EnCodec together, at most. A CPU gains in the LSTM alone.
BATCH_SECONDS = {"cpu": 60.0, "cuda": 600.0}
PART = 600 * 24000  # samples that WORLD encodes at once, whole frames: an hour's search takes 1 GB


def encode_cuts(cuts: CutSet, codec: Codec, storage_path: str | Path, num_jobs: int = 1) -> CutSet:
    """Encode every cut and attach the codes as `cut.codes`, and a digest as `cut.codes_digest`.

    The codes go to `storage_path`, an HDF5 file with one dataset (frames, 8) int16 per cut,
    frames = ceil(samples / 320), whose attribute `codec` is the codec's identity as JSON. The same
    cuts and codec give the same file, byte for byte.
    `cut.load_codes()` cuts frames to the cut's duration as Lhotse does: a last frame of which less
    than half is audio is not among them.

    Args:
        cuts: mono cuts at the codec's sample rate, read in order of their length.
        num_jobs: processes that encode on the CPU, each with one thread. A GPU takes one.

    Raises ValueError where a cut's audio cannot be read or has another form (the file is named),
    and where two cuts have one id.
    """
    given: list[MonoCut] = list(cuts)
    if len({cut.id for cut in given}) < len(given):
        raise ValueError(f"{storage_path}: two cuts have one id, which names their codes")
    order = sorted(range(len(given)), key=lambda i: (given[i].num_samples, given[i].id))
    if codec.device != "cpu":
        num_jobs = 1
    # Every process gets short and long ones alike, and the codec once.
    shares = [order[job::num_jobs] for job in range(num_jobs) if order[job::num_jobs]]
    encoded = Parallel(n_jobs=num_jobs)(
        delayed(_encode)(codec, [given[i] for i in share]) for share in shares
    )
    codes = dict(zip(itertools.chain(*shares), itertools.chain(*encoded), strict=True))

    result = []
    with atomic(storage_path) as temporary, NumpyHdf5Writer(temporary) as writer:
        writer.hdf.attrs["codec"] = json.dumps(codec.identity, sort_keys=True)
        for i, cut in enumerate(given):
            array = writer.store_array(
                cut.id.replace("/", "\\"),  # HDF5 would make folders of it
                codes[i],
                frame_shift=1 / codec.frame_rate,
                temporal_dim=0,
                start=cut.start,
            )
            array.array = replace(array.array, storage_path=str(storage_path))
            digest = hashlib.sha256(codes[i].tobytes()).hexdigest()[:DIGITS]
            custom = {**(cut.custom or {}), "codes": array, "codes_digest": digest}
            result.append(replace(cut, custom=custom))
    log.info("%d cuts, %.1f minutes", len(given), sum(cut.duration for cut in given) / 60)
    return CutSet.from_cuts(result)


def sample_recordings(
    manifests: Sequence[str | Path], seconds: float, seed: int
) -> Iterator[NDArray[np.float32]]:
    """Audio of cuts drawn at random from all manifests, until `seconds` are reached.

    Yields (N,) float32 samples of one cut at a time. Raises ValueError as `encode_cuts`.
    """
    cuts = [cut for path in manifests for cut in CutSet.from_jsonl_lazy(path)]
    for i in np.random.default_rng(seed).permutation(len(cuts)):
        if seconds <= 0:
            return
        seconds -= cuts[i].duration
        yield load_mono(cuts[i])


def load_mono(cut: MonoCut, sample_rate: int = 24000) -> NDArray[np.float32]:
    """The cut's samples (N,) float32.

    Raises ValueError that names the file where it cannot be read, is shorter than the manifest
    says, is not mono or has another sampling rate.
    """
    files = ", ".join(str(source.source) for source in cut.recording.sources)
    if cut.sampling_rate != sample_rate:
        raise ValueError(f"{files} has {cut.sampling_rate} Hz, the codec needs {sample_rate} Hz")
    try:
        samples = cut.load_audio()
    except Exception as error:  # Lhotse raises what its many backends raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{files}: the audio of cut {cut.id} cannot be read ({reason})") from error
    if samples.shape[0] != 1:
        raise ValueError(f"{files} has {samples.shape[0]} channels, the codec needs one")
    return samples[0].astype(np.float32, copy=False)


def _encode(codec: Codec, cuts: list[MonoCut]) -> list[NDArray[np.int16]]:
    """Codes of the cuts, which are sorted by length; runs in a process of its own."""
    if not isinstance(codec, EncodecCodec):
        return [_encode_in_parts(codec, _Audio(cut, codec.sample_rate)) for cut in cuts]
    codes: list[NDArray[np.int16]] = []
    for batch in _batches(cuts, BATCH_SECONDS[codec.device]):
        codes += encode_batch(codec, [_Audio(cut, codec.sample_rate) for cut in batch])
    return codes


def _encode_in_parts(codec: Codec, audio: "_Audio") -> NDArray[np.int16]:
    parts = [codec.encode(audio[at : at + PART]) for at in range(0, len(audio), PART)]
    return np.concatenate(parts) if parts else codec.encode(audio[:])


@dataclass(frozen=True)
class _Audio:
    """The samples of a cut, of which those are read that are asked for."""

    cut: MonoCut
    rate: int

    def __len__(self) -> int:
        return self.cut.num_samples

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        first, last, _ = part.indices(len(self))
        if (first, last) == (0, len(self)):
            return load_mono(self.cut, self.rate)
        seconds = {"offset": first / self.rate, "duration": (last - first) / self.rate}
        return load_mono(self.cut.truncate(**seconds, preserve_id=True), self.rate)


def _batches(cuts: Iterable[MonoCut], seconds: float) -> Iterator[list[MonoCut]]:
    """Neighbours whose padded audio stays below `seconds`; a longer cut goes alone."""
    batch: list[MonoCut] = []
    for cut in cuts:
        if batch and cut.duration * (len(batch) + 1) > seconds:
            yield batch
            batch = []
        batch.append(cut)
    if batch:
        yield batch
