"""A codec that needs no weights: WORLD parameters, vector-quantised with codebooks fitted here.

It has eight codebooks, as EnCodec at 6 kbps, and half its frames: 37.5 a second, so that models of
it train and speak twice as fast. WORLD (Morise et al., 2016) takes speech apart into F0, spectral
envelope and aperiodicity. The codebooks form a residual quantiser (each quantises what the ones
before it left over), in which all but the last look at one group of parameters each:

    0  which sound it is, all that the AR model predicts: mel-cepstral coefficients 1 to 12, those
       from 13 to 19 and the energy with less weight
    1  F0 and voicing
    2  energy and aperiodicity
    3  coefficients 1 to 7
    4  coefficients 8 to 15
    5  coefficients 16 to 27
    6  coefficients 28 to 47
    7  everything that is left

What else goes with an entry on average (the rest of a sound's spectrum, how loud and how rough it
is) stands in it too, so that codebook 0 alone can be understood, and the others say how it differs
from that. Of 1024 entries the codebooks between the first and the last use 256.
Codebook 0 is chosen for a recording as a whole (Viterbi): a change of code costs as much as the
mean squared error of quantisation, so that the AR has steadier codes to predict.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyworld
from joblib import Parallel, delayed
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from revoice.codec.channel import (
    BINS,
    COEFFICIENTS,
    FFT,
    RATE,
    Channel,
    coefficients,
    envelopes,
    find,
)
from revoice.codec.search import ResidualCodec, Search, check_samples
from revoice.files import atomic

HOP = 640  # samples
STEP = HOP // 2  # between the frames in which F0 is followed
BANDS = pyworld.get_num_aperiodicities(RATE)
PIECE, CONTEXT = 60 * RATE // HOP, RATE // HOP  # frames analysed at once, and around them

# Columns of the parameters of a frame, and what a difference of 1 weighs in the distance.
LOG_F0, VOICING, APERIODICITY, ENERGY = 0, 1, slice(2, 2 + BANDS), 2 + BANDS
WIDTH = ENERGY + COEFFICIENTS
SCALE = np.ones(WIDTH)
SCALE[LOG_F0] = 4.0  # a semitone counts as a quarter of a neper in one coefficient
SCALE[APERIODICITY] = 0.12  # of a decibel
SCALE[ENERGY] = 0.7

NEPER = 10 / np.log(10)  # decibels of power in one unit of the logarithmic envelope
FLOOR = 48 / NEPER  # below loud speech: what is softer is silence, and need not be told apart
QUIET = 15 / NEPER  # frames within this of the floor count little when codebooks are fitted
QUIET_WEIGHT = 0.1
FIT_FRAMES = 60000  # frames that k-means sees, at most
MOVED_FRAMES = 20000  # loud ones that a channel is found from
FEW = 2.0  # frames that an entry's mean of what goes with it is drawn to that of all by
ENTRIES = (1024, *(256,) * 6, 1024)  # that are in use, of each codebook
CHANGE_COST = 1.0  # of the mean squared error


# One row per codebook: the weight of each parameter in its distance; 0: left to other codebooks.
GROUPS = np.zeros((ResidualCodec.num_quantizers, WIDTH))
GROUPS[0, ENERGY], GROUPS[0, ENERGY + 13 : ENERGY + 20] = 0.4, 0.6
GROUPS[1, [LOG_F0, VOICING]] = 1
GROUPS[2, APERIODICITY] = GROUPS[2, ENERGY] = 1
for _row, _first, _end in ((0, 1, 13), (3, 1, 8), (4, 8, 16), (5, 16, 28), (6, 28, COEFFICIENTS)):
    GROUPS[_row, ENERGY + _first : ENERGY + _end] = 1
GROUPS[7] = 1


class WorldCodec(ResidualCodec):
    """WORLD vocoder parameters as codes; see the module for what each codebook holds.

    Args:
        codebooks: (8, 1024, WIDTH) float32, in scaled parameters; their sum is the sound.
        mean: (WIDTH,) float32 mean of the parameters.
        floor: logarithm of the power below which a spectrum counts as silence.
        change_cost: squared distance that a change of code costs in codebook 0.
        channel: what the speech differs by from that which the codebooks are of. See `moved`.
    """

    hop = HOP
    frame_rate = RATE / HOP

    def __init__(
        self,
        codebooks: NDArray[np.float32],
        mean: NDArray[np.float32],
        floor: float,
        change_cost: float,
        channel: Channel | None = None,
    ) -> None:
        expected = (self.num_quantizers, self.bins, WIDTH)
        if codebooks.shape != expected or mean.shape != (WIDTH,):
            raise ValueError(f"codebooks have the shape {codebooks.shape}, expected {expected}")
        self._codebooks, self._mean = codebooks, mean
        self._searches = [_search(*pair) for pair in zip(codebooks, GROUPS, strict=True)]
        self._floor, self._change_cost, self._channel = floor, change_cost, channel

    def entries(self, quantizer: int) -> NDArray[np.float32]:
        return self._codebooks[quantizer]

    def weights(self, quantizer: int) -> NDArray[np.float32]:
        return GROUPS[quantizer].astype(np.float32)

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        scaled = self._scaled(_analyse(samples))
        codes = np.empty((len(scaled), self.num_quantizers), np.int16)
        for k, codebook in enumerate(self._codebooks):
            change_cost = self._change_cost if k == 0 else 0.0
            codes[:, k] = _nearest(scaled, self._searches[k], GROUPS[k], change_cost)
            scaled = scaled - codebook[codes[:, k]]
        return codes

    def _scaled(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parameters (T, WIDTH), as they are analysed, as codebooks have them."""
        if self._channel is not None:
            parameters = parameters.copy()
            parameters[:, ENERGY:] = self._channel.taken_off(parameters[:, ENERGY:])
        return (_with_floor(parameters, self._floor) - self._mean) * SCALE

    def _decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        scaled = sum(book[codes[:, k]] for k, book in enumerate(self._codebooks))
        # pyworld places a frame at either end of the signal: the last frame stands for both.
        parameters = np.pad(scaled / SCALE + self._mean, ((0, 1), (0, 0)), mode="edge")

        f0 = np.where(parameters[:, VOICING] > 0.5, np.exp(parameters[:, LOG_F0]), 0.0)
        f0 = np.where(f0 > 0, np.clip(f0, 40, 1000), 0.0)
        power = np.exp(self._floor)
        envelope = np.maximum(envelopes(parameters[:, ENERGY:]) - power, power / 100)
        if self._channel is not None:
            envelope = self._channel.put_on(envelope)
        aperiodicity = pyworld.decode_aperiodicity(
            np.ascontiguousarray(np.minimum(parameters[:, APERIODICITY], 0)), RATE, FFT
        )
        samples = pyworld.synthesize(f0, envelope, aperiodicity, RATE, 1000 * HOP / RATE)
        return np.clip(samples[: len(codes) * HOP], -1, 1).astype(np.float32)

    @classmethod
    def fit(
        cls, recordings: Iterable[NDArray[np.float32]], seed: int, num_jobs: int = 1
    ) -> "WorldCodec":
        """Fit the codebooks by k-means to (N,) mono samples each; about 60 minutes are plenty.

        A codebook's last entry fills the rows that are not in use, or for which there are not
        enough distinct frames: such rows are never chosen. The same recordings and seed give the
        same codebooks on one machine, whatever `num_jobs` (processes that analyse) is. Raises
        ValueError for no audio.
        """
        analysed = Parallel(n_jobs=num_jobs, pre_dispatch="2 * n_jobs")(
            delayed(_analyse)(samples) for samples in recordings
        )
        parameters = np.concatenate([np.zeros((0, WIDTH)), *analysed])
        if not len(parameters):
            raise ValueError("the WORLD codec needs audio to be fitted on, and there is none")
        floor = float(np.percentile(parameters[:, ENERGY], 95) - FLOOR)

        random = np.random.default_rng(seed)
        rows = random.permutation(len(parameters))[:FIT_FRAMES]
        parameters = _with_floor(parameters[np.sort(rows)], floor)
        loud = parameters[:, ENERGY] > floor + QUIET
        weights = np.where(loud, 1.0, QUIET_WEIGHT)
        mean = parameters.mean(axis=0).astype(np.float32)

        scaled = (parameters - mean) * SCALE
        codebooks, errors = [], []
        for group, entries in zip(GROUPS, ENTRIES, strict=True):
            codebook = _kmeans(scaled, group, weights, entries, seed)
            codes = _nearest(scaled, _search(codebook, group), group)
            _add_what_goes_with(codebook, codes, group, scaled, weights)
            scaled = scaled - codebook[codes]
            errors.append(float(np.square(scaled * group).sum(axis=1).mean()))
            codebooks.append(codebook)
        return cls(np.stack(codebooks), mean, floor, CHANGE_COST * errors[0])

    def moved(
        self, recordings: Iterable[NDArray[np.float32]], seed: int, num_jobs: int = 1
    ) -> "WorldCodec":
        """The same codebooks for recordings of another channel: another room, microphone, band.

        What they differ by is taken off before codes are chosen, and put on again afterwards: the
        codes mean what they mean to a model that knows them. Raises ValueError for no audio.
        """
        analysed = Parallel(n_jobs=num_jobs, pre_dispatch="2 * n_jobs")(
            delayed(_analyse)(samples) for samples in recordings
        )
        parameters = np.concatenate([np.zeros((0, WIDTH)), *analysed])
        if not len(parameters):
            raise ValueError("the WORLD codec needs audio to be moved to, and there is none")
        energy = parameters[:, ENERGY]
        own_floor = float(np.percentile(energy, 95) - FLOOR)
        parameters = parameters[energy > own_floor + QUIET]
        rows = np.random.default_rng(seed).permutation(len(parameters))[:MOVED_FRAMES]
        parameters = parameters[np.sort(rows)]

        known = self._known()

        def nearest(found: NDArray[np.float64]) -> NDArray[np.int64]:
            moved = np.concatenate((parameters[:, :ENERGY], found), 1)
            scaled = (_with_floor(moved, self._floor) - self._mean) * SCALE
            return _nearest(scaled, self._searches[0], GROUPS[0])

        channel = find(parameters[:, ENERGY:], own_floor + QUIET, known, self._floor, nearest)
        return WorldCodec(self._codebooks, self._mean, self._floor, self._change_cost, channel)

    def _known(self) -> NDArray[np.float64]:
        """Coefficients (1024, 48) of the entries of codebook 0."""
        return (self._codebooks[0] / SCALE + self._mean)[:, ENERGY:]

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file that `WorldCodec.load` reads."""
        tensors = {
            "codebooks": self._codebooks,
            "mean": self._mean,
            "floor": np.array([self._floor]),
            "change_cost": np.array([self._change_cost]),
        }
        if self._channel is not None:
            tensors["channel"] = self._channel.gain
            tensors["band"] = np.array([self._channel.band])
        with atomic(path) as temporary:
            save_file(tensors, temporary, {"codec": "world"})

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "WorldCodec":
        """Read what `save` wrote; ValueError names a file that is something else.

        It computes on the CPU, whatever `device` is.
        """
        try:
            with safe_open(path, "numpy") as file:
                if (file.metadata() or {}).get("codec") != "world":
                    raise ValueError(f"{path} does not hold the codebooks of the WORLD codec")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
        floor, change_cost = float(tensors["floor"][0]), float(tensors["change_cost"][0])
        codec = cls(tensors["codebooks"], tensors["mean"], floor, change_cost)
        if "channel" in tensors:
            if tensors["channel"].shape != (BINS,) or "band" not in tensors:
                raise ValueError(f"{path} was moved by another version: remove it, and run again")
            band = int(tensors["band"][0])
            codec._channel = Channel(tensors["channel"], band, codec._known(), floor)
        return codec


def _analyse(recording: NDArray[np.float32]) -> NDArray[np.float64]:
    """WORLD parameters (ceil(N / HOP), WIDTH), the logarithm of F0 going on where unvoiced."""
    samples: NDArray[np.float64] = np.asarray(recording).astype(np.float64)
    check_samples(samples)
    frames = -(-len(samples) // HOP)
    parameters = np.zeros((frames, WIDTH))
    for first in range(0, frames, PIECE):  # in pieces, so that an hour fits into memory
        before, count = min(first, CONTEXT), min(PIECE, frames - first)
        piece = samples[(first - before) * HOP : (first + count + CONTEXT) * HOP]
        parameters[first : first + count] = _analyse_piece(piece)[before : before + count]
    voiced = np.flatnonzero(parameters[:, VOICING])
    if len(voiced):
        parameters[:, LOG_F0] = np.interp(np.arange(frames), voiced, parameters[voiced, LOG_F0])
    else:
        parameters[:, LOG_F0] = np.log(150)
    return parameters


def _analyse_piece(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    # DIO and StoneMask: 20 times faster than Harvest, and on recordings that are fit for training
    # as good; decimated by 4, DIO is three times faster again and the result the same.
    frames = -(-len(samples) // HOP)
    samples = np.pad(samples, (0, max(frames * HOP, RATE // 10) - len(samples)))
    f0, _ = pyworld.dio(samples, RATE, frame_period=1000 * STEP / RATE, speed=4)
    times = np.arange(len(f0)) * STEP / RATE
    f0, times = (np.ascontiguousarray(x[:: HOP // STEP][:frames]) for x in (f0, times))
    f0 = pyworld.stonemask(samples, f0, times, RATE)

    parameters = np.zeros((frames, WIDTH))
    envelope = pyworld.cheaptrick(samples, f0, times, RATE, fft_size=FFT)
    parameters[:, ENERGY:] = pyworld.code_spectral_envelope(envelope, RATE, COEFFICIENTS)
    voiced = np.flatnonzero(f0)
    if len(voiced):
        parameters[voiced, LOG_F0] = np.log(f0[voiced])
        parameters[voiced, VOICING] = 1
        measured = pyworld.d4c(samples, f0[voiced], times[voiced], RATE, fft_size=FFT)
        parameters[voiced, APERIODICITY] = pyworld.code_aperiodicity(measured, RATE)
    return parameters


def _with_floor(parameters: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """The parameters with a flat spectrum of power exp(floor) added to every envelope."""
    result = parameters.copy()
    if len(parameters):
        result[:, ENERGY:] = coefficients(envelopes(parameters[:, ENERGY:]) + np.exp(floor))
    return result


def _search(codebook: NDArray[np.float32], group: NDArray[np.float64]) -> Search:
    columns = np.flatnonzero(group)
    return Search(codebook[:, columns] * group[columns])


def _nearest(
    scaled: NDArray[np.float64], search: Search, group: NDArray[np.float64], change_cost: float = 0
) -> NDArray[np.int64]:
    """Index (T,) of the entry that is nearest in the group's weighted columns.

    With a `change_cost`, the indices with the least sum of squared distances and changes.
    """
    columns = np.flatnonzero(group)
    points = scaled[:, columns] * group[columns]
    if not change_cost:
        return search.nearest(points)
    pieces = [points[at : at + PIECE] for at in range(0, len(points), PIECE)]
    paths = [cheapest_path(search.distances(piece), change_cost) for piece in pieces]
    return np.concatenate([np.zeros(0, np.int64), *paths])


def cheapest_path(costs: NDArray[np.float64], change_cost: float) -> NDArray[np.int64]:
    """The path (T,) through (T, entries) of least cost, by the Viterbi algorithm."""
    cost = costs[0].copy()
    stays = np.zeros(costs.shape, bool)
    best = np.zeros(len(costs), np.int64)  # what the frame before was, where it changes
    for t in range(1, len(costs)):
        best[t] = cost.argmin()
        changed = cost[best[t]] + change_cost
        stays[t] = cost <= changed
        cost = np.minimum(cost, changed) + costs[t]
    path = np.zeros(len(costs), np.int64)
    path[-1] = cost.argmin()
    for t in range(len(costs) - 1, 0, -1):
        path[t - 1] = path[t] if stays[t, path[t]] else best[t]
    return path


def _add_what_goes_with(
    codebook: NDArray[np.float32],
    codes: NDArray[np.int64],
    group: NDArray[np.float64],
    scaled: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """Fill an entry's columns outside the group with the mean (T, WIDTH) of its frames (T,)."""
    frames = np.bincount(codes, weights, len(codebook)) + FEW
    for column in np.flatnonzero(group == 0):
        if column not in (LOG_F0, VOICING):  # of which codebook 1 tells alone, and finely
            sums = np.bincount(codes, weights * scaled[:, column], len(codebook))
            codebook[:, column] = sums / frames
    looked_at = codebook[:, group > 0]  # rows that are not in use stay what the last in use is
    _, first, same = np.unique(looked_at, axis=0, return_index=True, return_inverse=True)
    codebook[:] = codebook[first[same.ravel()]]


def _kmeans(
    scaled: NDArray[np.float64],
    group: NDArray[np.float64],
    weights: NDArray[np.float64],
    entries: int,
    seed: int,
) -> NDArray[np.float32]:
    """A codebook (1024, WIDTH) for the group's columns of (T, WIDTH) scaled parameters."""
    columns = np.flatnonzero(group)
    points = (scaled[:, columns] * group[columns]).astype(np.float32)
    distinct = np.unique(points, axis=0)
    if len(distinct) <= entries:
        centres = distinct
    else:
        from sklearn.cluster import MiniBatchKMeans  # half a second that only fitting needs

        kmeans = MiniBatchKMeans(
            entries,
            init="random",
            batch_size=4096,
            max_iter=10,
            n_init=1,
            max_no_improvement=None,
            reassignment_ratio=0,
            random_state=seed,
        )
        with threadpool_limits(1):  # the order of threads would show in the last digits
            centres = kmeans.fit(points, sample_weight=weights).cluster_centers_
    codebook = np.zeros((ResidualCodec.bins, WIDTH), np.float32)
    codebook[: len(centres), columns] = centres / group[columns]
    codebook[len(centres) :] = codebook[len(centres) - 1]
    return codebook
