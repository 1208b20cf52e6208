"""The machine that this process runs on. No deep-learning framework."""

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path


def cpu_name() -> str:
    """The processor in words, such as `"AMD EPYC 9B45"`."""
    for line in _cpu_info():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        name = output("sysctl", "-n", "machdep.cpu.brand_string")
        if name:
            return name
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """The processor's instruction sets, as Linux names them; empty elsewhere."""
    for line in _cpu_info():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def count_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def output(*command: str) -> str:
    """What a command prints, stripped; empty if it is absent or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_info() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


@cache
def has_nvidia_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU, whether or not a backend can use it."""
    return bool(output("nvidia-smi", "--list-gpus"))


def memory_of(pid: int) -> int:
    """Bytes of memory that a process holds now; 0 if it has ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
