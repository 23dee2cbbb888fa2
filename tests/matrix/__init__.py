# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix: every way to a drive, gone by everybody, with files from before and during a hold.

What is expected stands in docs/matrix.md and docs/ioctls.md, the cells are generated, the witness is the drive
itself. See `run`.
"""
