# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache folder: costly things are made once, under a key that says what went into them.

A thing is a folder KIND/KEY. It is made under another name and renamed when it is whole, under a
lock, so that two runs at the same time make it once and an interrupted one leaves nothing behind that
looks finished. All of it is safe to delete.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def root() -> Path:
    """The cache folder of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SRLOCK_CACHE") or Path(base) / "srlock").absolute()


def digest(*parts: str | bytes | Path | Iterable[Path]) -> str:
    """A key made of strings, file contents (a Path) and folders of files."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            data = part.encode()
        elif isinstance(part, bytes):
            data = part
        else:
            files = [part] if isinstance(part, Path) else sorted(part)
            data = b"".join(_file(path) for path in files)
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:20]


def _file(path: Path) -> bytes:
    return path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()


def made(kind: str, key: str, make: Callable[[Path], None], what: str = "", keep: int = 4) -> Path:
    """Return the folder KIND/KEY; if there is none, let `make` fill it first.

    `keep` folders of a kind are kept, those used last; older ones go when a new one is made, but none
    that was used within the last two hours.
    """
    folder = root() / kind / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        with open(folder.parent / f".{key}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                _make(folder, make, what)
                _prune(folder.parent, keep)
    os.utime(folder)
    return folder


def _make(folder: Path, make: Callable[[Path], None], what: str) -> None:
    partial = folder.with_name(f"{folder.name}.tmp.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    started = time.monotonic()
    if what:
        print(f"# making {what} ...", file=sys.stderr, flush=True)
    try:
        make(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if what:
        print(f"# made {what} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _prune(parent: Path, keep: int) -> None:
    folders = [path for path in parent.iterdir() if path.is_dir() and ".tmp." not in path.name]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in folders[keep:]:
        if old.stat().st_mtime < time.time() - 7200:
            shutil.rmtree(old, ignore_errors=True)
            (parent / f".{old.name}.lock").unlink(missing_ok=True)
