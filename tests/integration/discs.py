# SPDX-License-Identifier: GPL-2.0-or-later
"""Other discs than those that the machine starts with. Functions of the host."""

from __future__ import annotations

from pathlib import Path

OTHER = "OTHER_DISC"
OTHER_MEGABYTES = 3


def other() -> Path:
    """A smaller disc with a name of its own."""
    from machine import rootfs      # the machine's half of the package has none
    return rootfs.medium(OTHER, OTHER_MEGABYTES)
