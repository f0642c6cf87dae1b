"""Memory limits of a process."""

from __future__ import annotations

from pathlib import Path

#: The least that a process may allocate by default, whatever is free, in bytes.
_LEAST = 2 << 30
#: The part of the free memory that processes may have together by default.
_SHARE = 0.8


def share_of_memory(processes: int) -> int:
    """Return the bytes that each of several processes may allocate beyond what it has, where nobody says; 0: any."""
    free = free_memory()
    return max(int(free * _SHARE / max(processes, 1)), _LEAST) if free else 0


def free_memory() -> int:
    """Return the bytes of memory that are free for this process; 0 where that cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return 0
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        return min(free, max(int(limit) - used, 0)) if limit.isdigit() else free
    except (OSError, ValueError):
        return free


def kills_for_memory() -> int:
    """Return how many processes the kernel has killed so far because memory ran out; 0 where that cannot be told."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def limit_memory(memory: int) -> None:
    """Let this process allocate so many bytes more than it has, where the system can limit that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        return
