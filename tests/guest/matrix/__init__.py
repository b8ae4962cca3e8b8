"""The fault matrix: what each store and filter does when a server fails.

  faults.py    the columns: what goes wrong
  outcomes.py  what may become of it, and how that is seen
  leaves.py    stores with servers that can be made to fail
  rows.py      the rows: leaves, and filters over them
  session.py   a guest that is busy on a row's store
  rdma.py      the row of the store that needs a guest with an RDMA device
  nested.py    such a guest, with a QEMU and a guest of its own in it
  table.py     the matrix as documentation

SPDX-License-Identifier: GPL-2.0-or-later
"""
