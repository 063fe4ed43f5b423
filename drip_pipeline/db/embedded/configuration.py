"""The configuration of the embedded PostgreSQL: crash-safe, fast on a developer's machine, and
without personal data in the server's log. It sets only values that differ from the defaults.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "drip.conf"
MEBIBYTE = 1024 * 1024
# PostgreSQL's parallel workers need more shared memory than a container's usual 64 MB of /dev/shm.
_SHM_NEEDED_BYTES = 512 * MEBIBYTE


def configuration(port: int, *, has_lz4: bool, overrides: Mapping[str, str] | None = None) -> str:
    """Return the text of drip.conf, which postgresql.conf includes last."""
    memory = machine_memory_bytes()
    shared_mb = min(max(memory // MEBIBYTE // 8, 256), 1024)
    values = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # TCP only: a socket's path is limited to 107 bytes, and a checkout's path may be longer.
        "unix_socket_directories": "",
        "max_connections": "200",  # Dagster's webserver alone may hold 63
        "shared_buffers": f"{shared_mb}MB",
        "effective_cache_size": f"{max(memory // MEBIBYTE // 2, 512)}MB",
        "maintenance_work_mem": "128MB",
        "work_mem": "16MB",
        "jit": "off",  # compiling takes longer than any statement of the engine
        "random_page_cost": "1.1",
        # Rare checkpoints: the first change of a page after one writes the whole page to the WAL.
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_level": "minimal",  # this server has no replicas
        "max_wal_senders": "0",
        # An idle transaction keeps dead rows and makes claims up to a hundred times slower.
        "idle_in_transaction_session_timeout": "10min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # Statements and details quote rows, which contain personal data.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_parameter_max_length": "0",
    }
    if has_lz4:
        values["wal_compression"] = "lz4"
        values["default_toast_compression"] = "lz4"
    if _shared_memory_is_small():
        values["dynamic_shared_memory_type"] = "mmap"
    values.update(overrides or {})
    lines = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    return "# Overwritten at every start; changes are lost.\n" + "\n".join(lines) + "\n"


def machine_memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _shared_memory_is_small() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total < _SHM_NEEDED_BYTES
    except OSError:
        return False


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
