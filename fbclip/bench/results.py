"""What `fbclip bench` measured, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchResult:
    """Medians in milliseconds a batch; `images_per_s` from the whole forward, which holds every stage."""

    batch: int
    backbone_ms: float
    forward_ms: float
    ratio: float
    images_per_s: float
    stages: dict[str, float]

    def text(self) -> str:
        """One line for a terminal."""
        stages = "  ".join(f"{name} {ms:.1f}" for name, ms in self.stages.items())
        return (
            f"batch {self.batch}: backbone {self.backbone_ms:.1f} ms, forward {self.forward_ms:.1f} ms, "
            f"ratio {self.ratio:.3f}, {self.images_per_s:.1f} images/s ({stages} ms)"
        )


@dataclass(frozen=True)
class BenchResult:
    """The first batch size on top, all of them in `batches`; memory in MiB, `peak_rss_mb` is the process's.

    `decode` and `preprocess` among the stages are those of one image of 1920x1080 (a PNG).
    """

    backbone: str
    size: int
    memory_tokens: int
    device: str
    precision: str
    threads: int
    repeats: int
    backbone_ms: float
    forward_ms: float
    ratio: float
    peak_rss_mb: float
    peak_gpu_mb: float | None
    stages: dict[str, float]
    batches: tuple[BatchResult, ...]

    def text(self) -> str:
        """Lines for a terminal."""
        lines = [f"{self.backbone} at {self.size} px, {self.precision}, {self.device}, {self.threads} threads"]
        for row in self.batches:
            lines.append(row.text())
            if self.memory_tokens:
                spent = row.stages["memory"] + row.stages.get("features", 0.0)
                growth = spent / (row.forward_ms - spent)
                lines.append(
                    f"batch {row.batch}: a memory of {self.memory_tokens} tokens adds {growth:.1%} to the forward"
                )
        lines.append(f"one image: decode {self.stages['decode']:.1f} ms, preprocess {self.stages['preprocess']:.1f} ms")
        gpu = "" if self.peak_gpu_mb is None else f", of the GPU {self.peak_gpu_mb:.0f} MiB"
        lines.append(f"peak memory of the process {self.peak_rss_mb:.0f} MiB{gpu}")
        return "\n".join(lines)
