"""How fast EnCodec encodes: one utterance at a time with the package as it comes, and ours.

    python benchmarks/encode.py [--recordings FOLDER] [--minutes 2] [--rounds 5]

Speed and rounding do not depend on what the weights say, so seeded random ones of the right
architecture serve, with codebooks drawn from the encoder's own output (with any others nearly
every frame would get one code). All ways are measured in turn on a part of the recordings, part by
part, round by round, and the fastest round of each part counts, so that another load on the machine
falls on all; what counts is the ratio. Writes encode.md and encode.json.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from revoice.codec.encodec import BANDWIDTH, EncodecCodec, EncodecModel, encode_batch
from revoice.files import atomic, write_json

Audio = list[NDArray[np.float32]]
Codes = list[NDArray[np.int16]]


def random_model(seed: int) -> EncodecModel:
    """encodec_24khz with random weights, in evaluation mode, as the package makes it.

    The encoder's output is brought to mean 0 and deviation 1 on tones and noise, and each codebook
    is made of residuals that occur, so that codes are as varied as those of a trained model.
    """
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(150):
        time = np.arange(4800) / 24000
        tone = np.sign(np.sin(2 * np.pi * random.uniform(80, 4000) * time))
        noise = random.normal(size=4800).cumsum() * 0.1 if random.random() < 0.5 else tone
        parts.append((tone + noise + random.normal(size=4800)) * random.uniform(0, 0.3))
    audio = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = EncodecModel.encodec_model_24khz(pretrained=False)
        last = model.encoder.model[-1].conv.conv
        last.bias.zero_()
        embedded = model.encoder(audio[None, None])
        scale = 1 / embedded.std(dim=2).mean()
        last.weight_g.mul_(scale)
        last.bias.copy_(-embedded.mean(dim=2)[0] * scale)
        residual = model.encoder(audio[None, None])[0].T
        for layer in model.quantizer.vq.layers[:8]:
            layer._codebook.embed.copy_(residual[torch.randperm(len(residual))[:1024]])
            layer._codebook.embed.mul_(0.8)  # or the residuals that it is made of become nothing
            residual = residual - layer.decode(layer.encode(residual.T[None]))[0].T
    model.set_target_bandwidth(BANDWIDTH)
    return model


def out_of_the_box(model: EncodecModel, audio: Audio) -> Codes:
    """As the package's own documentation does it, one utterance at a time."""
    codes = []
    for samples in audio:
        with torch.no_grad():
            frames = model.encode(torch.from_numpy(samples)[None, None])
        codes.append(frames[0][0][0].T.numpy().astype(np.int16))
    return codes


def one_by_one(codec: EncodecCodec, audio: Audio) -> Codes:
    """Weight norm folded, inference mode, the package's own encoder."""
    with torch.inference_mode():
        return [
            codec._model.encode(torch.from_numpy(samples)[None, None])[0][0][0]
            .T.to(torch.int16)
            .numpy()
            for samples in audio
        ]


def in_batches(codec: EncodecCodec, audio: Audio, size: int = 8) -> Codes:
    """What the encode rule does in each process; `audio` is sorted by length."""
    batches = (audio[at : at + size] for at in range(0, len(audio), size))
    return [codes for batch in batches for codes in encode_batch(codec, batch)]


Way = Callable[[EncodecCodec, Audio], Codes]
_codecs: list[EncodecCodec] = []  # in a process of the pool: its own


def start_process(weights: dict[str, Tensor]) -> None:
    """Make the codec of a process, which has one thread."""
    torch.set_num_threads(1)
    _codecs.append(EncodecCodec(weights))


def in_this_process(way: Way, audio: Audio) -> Codes:
    """`way` with the codec of the process."""
    return way(_codecs[0], audio)


def in_processes(pool: ProcessPoolExecutor, jobs: int, way: Way, audio: Audio) -> Codes:
    """`way` in `jobs` processes, short and long recordings dealt out."""
    shares = pool.map(partial(in_this_process, way), [audio[job::jobs] for job in range(jobs)])
    codes: Codes = [np.empty((0, 8), np.int16)] * len(audio)
    for job, share in enumerate(shares):
        codes[job::jobs] = share
    return codes


def differences(model: EncodecModel, audio: Audio, expected: Codes, got: Codes) -> dict[str, float]:
    """Frames whose codes differ, and how near the two choices were where they first do.

    The margin is the difference of the two squared distances, relative to the size of the terms
    that it is computed from: below 1e-4 it is lost in the rounding of float32.
    """
    frames = different = 0
    worst = 0.0
    for samples, ours, theirs in zip(audio, got, expected, strict=True):
        frames += len(theirs)
        rows = np.flatnonzero((ours != theirs).any(axis=1))
        different += len(rows)
        if len(rows):
            with torch.no_grad():
                embedded = model.encoder(torch.from_numpy(samples)[None, None])[0].T.double()
            worst = max([worst, *(_margin(model, embedded[t], theirs[t], ours[t]) for t in rows)])
    return {"frames": frames, "different": different, "largest_margin": worst}


def _margin(
    model: EncodecModel, residual: Tensor, theirs: NDArray[np.int16], ours: NDArray[np.int16]
) -> float:
    for k, layer in enumerate(model.quantizer.vq.layers[:8]):
        embed = layer.codebook.double()
        if theirs[k] != ours[k]:
            a, b = (float((residual - embed[int(c[k])]).square().sum()) for c in (theirs, ours))
            return abs(a - b) / float(
                residual.square().sum() + embed[int(theirs[k])].square().sum()
            )
        residual = residual - embed[int(theirs[k])]
    return 0.0


def recordings(folder: Path | None, minutes: float, seed: int) -> Audio:
    """24 kHz recordings below `folder`, or noise of the lengths that utterances have."""
    audio: Audio = []
    random = np.random.default_rng(seed)
    if folder:
        import librosa

        paths = sorted(path for path in folder.rglob("*") if path.suffix in {".wav", ".flac"})
        random.shuffle(paths)
        for path in paths:
            if sum(map(len, audio)) < minutes * 60 * 24000:
                audio.append(librosa.load(path, sr=24000)[0].astype(np.float32))
    while sum(map(len, audio)) < minutes * 60 * 24000:
        length = int(24000 * random.uniform(0.5, 8))
        loudness = np.repeat(random.uniform(0, 0.3, length // 2400 + 1), 2400)[:length]
        audio.append((random.normal(size=length) * loudness).astype(np.float32))
    return sorted(audio, key=len)


def race(
    ways: dict[str, tuple[int, Callable[[Audio], Codes]]], audio: Audio, rounds: int, parts: int
) -> tuple[dict[str, float], dict[str, Codes]]:
    """Seconds that each way takes, and its codes.

    The recordings are dealt into parts, short and long ones each; of a part the fastest round
    counts. A way comes with the number of torch's threads.
    """
    times = {name: np.full(parts, np.inf) for name in ways}
    codes: dict[str, Codes] = {name: [np.empty((0, 8), np.int16)] * len(audio) for name in ways}
    for _ in range(rounds):
        for part in range(parts):
            for name, (threads, way) in ways.items():
                torch.set_num_threads(threads)
                start = time.perf_counter()
                codes[name][part::parts] = way(audio[part::parts])
                times[name][part] = min(times[name][part], time.perf_counter() - start)
    return {name: float(took.sum()) for name, took in times.items()}, codes


def write(result: dict[str, Any], folder: Path) -> None:
    """Write encode.json and encode.md, and print the latter."""
    write_json(folder / "encode.json", result)
    lines = [
        "# EnCodec: encoding one at a time, and what `encode` does",
        "",
        "{recordings} recordings, {seconds} s in {parts} parts, {cores} cores; of {rounds} rounds "
        "in turn the fastest of each part. Load average {load} at the end. Random weights of the "
        "right architecture.".format(**result),
        "",
        "| way | times real time | ratio | frames that differ | largest margin |",
        "|---|---|---|---|---|",
        *(
            f"| {row['way']} | {row['times_real_time']} | {row['ratio']} "
            f"| {row['different']} of {row['frames']} | {row['largest_margin']:.1e} |"
            for row in result["rows"]
        ),
        "",
        "A margin is the difference between the squared distances of the two codes, relative to "
        "the terms that it is computed from; 1e-4 is what float32 can lose there. What `encode` "
        "does gives the same codes whatever the batches, processes and threads.",
    ]
    with atomic(folder / "encode.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, help="folder of recordings; default: noise")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", type=int, default=4, help="into which the recordings are dealt")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    audio = recordings(args.recordings, args.minutes, args.seed)
    seconds = sum(map(len, audio)) / 24000
    model = random_model(args.seed)
    codec = EncodecCodec(model.state_dict())

    pool = ProcessPoolExecutor(cores, get_context("spawn"), start_process, [model.state_dict()])
    in_pool = partial(in_processes, pool, cores)
    in_pool(one_by_one, audio[: 4 * cores])  # processes start once, not in the measure
    package = f"as the package comes, one at a time, {cores} threads"
    ways: dict[str, tuple[int, Callable[[Audio], Codes]]] = {
        package: (cores, partial(out_of_the_box, model)),
        f"folded, inference mode, one at a time, {cores} threads": (
            cores,
            partial(one_by_one, codec),
        ),
        f"the same in {cores} processes": (1, partial(in_pool, one_by_one)),
        f"what `encode` does: segments, batches of 8, {cores} processes": (
            1,
            partial(in_pool, in_batches),
        ),
    }
    times, codes = race(ways, audio, args.rounds, args.parts)
    rows = [
        {
            "way": name,
            "times_real_time": round(seconds / took, 2),
            "ratio": round(times[package] / took, 2),
            **differences(model, audio, codes[package], codes[name]),
        }
        for name, took in times.items()
    ]
    result = {
        "cores": cores,
        "load": round(os.getloadavg()[1], 1),  # of five minutes, this program's part included
        "seconds": round(seconds, 1),
        "recordings": len(audio),
        "rounds": args.rounds,
        "parts": args.parts,
        "rows": rows,
    }
    write(result, Path(__file__).parent)


if __name__ == "__main__":
    main()
