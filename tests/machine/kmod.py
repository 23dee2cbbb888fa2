# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules of the tests' own, for the machine's kernel. Only on the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import Skip, cache


def build(folder: Path, release: str) -> Path:
    """The module NAME.ko of a folder NAME with Kbuild and NAME.c; skips the test where there are no headers."""
    name = folder.name
    headers = Path(f"/usr/src/linux-headers-{release}")
    if not headers.is_dir():
        raise Skip(f"no headers of {release}")

    def make(target: Path) -> None:
        shutil.copytree(folder, target, dirs_exist_ok=True)
        subprocess.run(["make", "-s", "-C", headers, f"M={target}", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"],
                       check=True, stdout=subprocess.DEVNULL)

    sources = [folder / "Kbuild", folder / f"{name}.c"]
    return cache.made(name, cache.digest(release, sources), make) / f"{name}.ko"
