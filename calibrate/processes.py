"""One command in several processes, as torchrun starts them: what each does, what they tell each other, how they end.

Every process walks the same steps in the same order. Work is shared out by position, so nobody has to ask for it;
results come together in that order. The first one alone writes, logs and shows progress.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from calibrate.errors import CalibrateError
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others before it ends; the first one may be counting the pixels of a class."""
_FAILED = "failed"


class ProcessesError(CalibrateError):
    """The processes of a run have lost each other."""


@dataclass(frozen=True)
class ProcessGroup:
    """rank: of this process, from 0; count: how many there are. One alone needs nobody and nothing is sent.

    local: its number among those of this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and shows."""
        return self.rank == 0

    def device(self, asked: str, gpus: int | None = None) -> str:
        """What this process computes on: each of several takes a GPU of its own, or all take the CPU.

        gpus: how many there are, by default as torch counts them. Raises ConfigError for one that several would share.
        """
        if self.count == 1 or asked == "cpu":
            return asked
        if asked not in {"auto", "cuda"}:
            raise ConfigError(f"--device {asked}: is one for {self.count} processes; use auto, cuda or cpu")
        if gpus is None:
            import torch

            gpus = torch.cuda.device_count()
        if asked == "auto" and not gpus:
            return "cpu"
        if gpus < self.count:
            raise ConfigError(f"{self.count} processes and {gpus} GPUs: start one for each GPU, or add --device cpu")
        return f"cuda:{self.local}"

    def share(self, total: int) -> range:
        """Which of `total` things are this process's; the shares are in the order of the processes."""
        return self._shares(total)[self.rank]

    def _shares(self, total: int) -> list[range]:
        # The first ones take what is left over.
        ends = [-(-total * k // self.count) for k in range(self.count + 1)]
        return [range(a, b) for a, b in pairwise(ends)]

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """The rows of this process's share of `total` (n,...) -> those of all, in order, in every process."""
        if self.count == 1:
            return rows
        import torch
        from torch import distributed

        sizes = [len(share) for share in self._shares(total)]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        with self._together():
            distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes; the same number in each."""
        if self.count > 1:
            from torch import distributed

            with self._together():
                distributed.all_reduce(tensor)
        return tensor

    def collect(self, data: bytes) -> list[bytes]:
        """What every process gives, in their order, in the first one; nothing in the others."""
        if self.count == 1:
            return [data]
        import torch
        from torch import distributed

        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with self._together():
            distributed.all_gather(sizes, torch.tensor([len(data)]))
        room = max(int(size) for size in sizes)
        padded = torch.zeros(room, dtype=torch.uint8)
        padded[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else padded[:0]
        parts = [torch.empty_like(padded) for _ in sizes] if self.first else None
        with self._together():
            distributed.gather(padded, parts, dst=0)
        return [part[: int(size)].numpy().tobytes() for part, size in zip(parts or (), sizes, strict=False)]

    def agreed(self, answer: bool) -> bool:
        """What the first process answers, in every one: for what only it can know, or may have changed meanwhile."""
        if self.count == 1:
            return answer
        import torch
        from torch import distributed

        said = torch.tensor([int(answer)])
        with self._together():
            distributed.broadcast(said, src=0)
        return bool(said.item())

    def wait(self) -> None:
        """Until every process is here."""
        self.agreed(True)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise ProcessesError(
                f"process {self.rank + 1} of {self.count} lost the others, or waited longer than they may take"
            ) from error


ALONE = ProcessGroup()


def started_by_torchrun(environment: Mapping[str, str]) -> bool:
    """Whether there are several processes of this command."""
    return int(environment.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in environment and "RANK" in environment


@contextmanager
def processes(patience: timedelta = PATIENCE) -> Iterator[ProcessGroup]:
    """All processes of this command: one alone, unless torchrun started several.

    Where one fails, the first to do so says why and the others end without a word. Raises ConfigError.
    """
    if not started_by_torchrun(os.environ):
        yield ALONE
        return
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    # All are on one machine, and nobody else need hear them.
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    store, rank, count = next(rendezvous("env://", timeout=patience))
    try:
        group = ProcessGroup(rank, count, int(os.environ.get("LOCAL_RANK", rank)))
        if int(os.environ.get("LOCAL_WORLD_SIZE", count)) < count:
            raise ConfigError("processes on several machines share no files; start all of them on one machine")
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore("run", store),
            rank=rank,
            world_size=count,
            timeout=patience,
        )
        group.wait()
        yield group
        # Nobody may leave while another still needs it.
        group.wait()
        distributed.destroy_process_group()
    except BaseException as error:
        if _is_first_to_fail(store):
            raise
        # What the others still wait for is not taken down first: that could wait for them in turn.
        raise SystemExit(1) from error


def _is_first_to_fail(store: Any) -> bool:
    try:
        return int(store.add(_FAILED, 1)) == 1
    except RuntimeError:
        # The store went with the process that held it, whose line has been said.
        return False


def joined(parts: Sequence[bytes]) -> bytes:
    """Byte strings as one: each with its length before it."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def parted(data: bytes) -> list[bytes]:
    """The inverse of `joined`."""
    found, start = [], 0
    while start < len(data):
        end = start + 8 + int.from_bytes(data[start : start + 8], "big")
        found.append(data[start + 8 : end])
        start = end
    return found
