"""The row of remote-store-rdma, which needs a guest with an RDMA device: the
test of that guest tries the cells out and takes from here what to expect.

SPDX-License-Identifier: GPL-2.0-or-later
"""

# Where the cells are tried out.
TEST = 'guest/rdma'

# The outcome or NotApplicable for the name of each fault, see faults.py.
CELLS = {}
