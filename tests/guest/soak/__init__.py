"""The soak: random operations on a busy guest, from a seed.

  operations.py  what an operation is, and which comes next
  world.py       the machine, and what is known of it
  tuning.py      operations: caches, prefetching, stores that err, the balloon
  jobs.py        operations: evacuate, warm, other stores, cancel
  plugging.py    operations: memory that comes and goes
  reading.py     operations: look at records, read and dump memory
  running.py     operations: stop, continue, reset
  ending.py      how it ends, and what must be true then
  session.py     from the start of the machine to the end

SPDX-License-Identifier: GPL-2.0-or-later
"""
