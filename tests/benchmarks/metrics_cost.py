"""What the exact AUPRO costs: `python -m tests.benchmarks.metrics_cost`.

Full size by the shipped form, with the process's peak memory; then the same small set by the shipped form and by the
definition's plain loop. `--stream N` also puts N maps of full size through a PixelStore, in a process of its own for
an honest peak.
"""

from __future__ import annotations

import argparse
import resource
import time

import cv2
import numpy as np
import typer

from calibrate.metrics.ranking import Array
from calibrate.metrics.regions import aupro_exact, aupro_paper
from calibrate.metrics.streaming import PixelStore
from tests.golden.metrics4 import plain


def smooth_map(rng: np.random.Generator, size: int, regions: int) -> tuple[Array, Array]:
    """One smooth random map (size,size) float32 and a mask of `regions` discs, of which most stand out."""
    mask = np.zeros((size, size), np.uint8)
    # A grid of positions keeps the discs apart.
    side = int(np.ceil(np.sqrt(regions)))
    cell = size // max(side, 1)
    for cell_number in rng.permutation(side * side)[:regions]:
        middle = (int(cell_number % side * cell + cell // 2), int(cell_number // side * cell + cell // 2))
        cv2.circle(mask, middle, int(rng.integers(1, max(2, cell // 2 - 1))), 1, -1)
    coarse = rng.standard_normal((size // 8 + 2, size // 8 + 2), dtype=np.float32)
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    raised = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), size / 100)
    return np.asarray(1 / (1 + np.exp(-field - np.float32(2) * raised)), np.float32), mask.astype(bool)


def smooth_set(seed: int, count: int, size: int, regions: int) -> tuple[Array, Array]:
    """Maps (N,S,S) float32 and masks (N,S,S) with `regions` regions each."""
    rng = np.random.default_rng(seed)
    maps, masks = np.empty((count, size, size), np.float32), np.empty((count, size, size), bool)
    for n in range(count):
        maps[n], masks[n] = smooth_map(rng, size, regions)
    return maps, masks


def peak_mb() -> float:
    """Largest resident size of this process so far, in MB; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def bench_exact() -> None:
    maps, masks = smooth_set(0, 100, 518, 3)
    regions = sum(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1 for mask in masks)
    typer.echo(f"{len(maps)} maps of 518x518, {regions} regions, {masks.mean():.1%} of the pixels in them")
    typer.echo(f"before: peak {peak_mb():.0f} MB")
    for metric in (aupro_exact, aupro_paper):
        started = time.perf_counter()
        value = metric(maps, masks)
        typer.echo(f"{metric.__name__} {value:.12f} in {time.perf_counter() - started:.2f} s, peak {peak_mb():.0f} MB")


def bench_loop() -> None:
    maps, masks = smooth_set(1, 3, 40, 3)
    started = time.perf_counter()
    fast = aupro_exact(maps, masks)
    middle = time.perf_counter()
    slow = plain.aupro_exact(maps, masks, 0.3)
    ended = time.perf_counter()
    typer.echo(f"{len(maps)} maps of 40x40: shipped {fast:.15f} in {middle - started:.5f} s")
    typer.echo(f"  plain loop {slow:.15f} in {ended - middle:.2f} s, {(ended - middle) / (middle - started):.0f} times")


def bench_stream(count: int) -> None:
    rng = np.random.default_rng(2)
    adding = 0.0
    with PixelStore() as store:
        for _ in range(count):
            values, mask = smooth_map(rng, 518, 3)
            started = time.perf_counter()
            store.add(values, mask)
            adding += time.perf_counter() - started
        started = time.perf_counter()
        result = store.result()
        ended = time.perf_counter()
        paper = store.aupro_paper()
        typer.echo(f"{count} maps of 518x518, {result.n_pixels / 1e6:.0f} M pixels, {result.n_regions} regions")
        typer.echo(f"  add {adding:.1f} s, result {ended - started:.1f} s, paper {time.perf_counter() - ended:.1f} s")
        typer.echo(f"  peak {peak_mb():.0f} MB; {result} paper={paper}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stream", type=int, metavar="N", help="instead: N maps through a PixelStore")
    count = parser.parse_args().stream
    if count:
        bench_stream(count)
    else:
        bench_exact()
        bench_loop()


if __name__ == "__main__":
    main()
