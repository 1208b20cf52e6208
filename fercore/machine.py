"""Processor, memory and GPU of this machine; imports no deep-learning framework."""

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path


def cpu_name() -> str:
    """Return the name of the processor, such as `"AMD EPYC 9B45"`."""
    for line in _read_cpu_info():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        name = command_output("sysctl", "-n", "machdep.cpu.brand_string")
        if name:
            return name
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Return the processor's instruction sets as Linux names them; an empty set elsewhere."""
    for line in _read_cpu_info():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def count_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Return the peak memory of this process, in bytes; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def command_output(*command: str) -> str:
    """Run a command and return its output, stripped; an empty string if it is absent or fails."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def _read_cpu_info() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


@cache
def has_nvidia_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU, whether or not a backend can use it."""
    return bool(command_output("nvidia-smi", "--list-gpus"))


def resident_memory(pid: int) -> int:
    """Return the memory that a process holds now, in bytes; 0 if it has ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
