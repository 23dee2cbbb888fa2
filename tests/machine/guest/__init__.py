# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs inside the machine: the agent, and the library that functions of tests use there."""
