# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of time in the machine. On the host they are machine.patience's."""

FACTOR = 1.0  # as state.py puts it into the machine


def patient(seconds: float) -> float:
    """A limit of time, for this kernel."""
    return seconds * FACTOR
