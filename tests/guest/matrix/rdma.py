"""The row of remote-store-rdma, which needs a guest with an RDMA device: the
test of that guest tries the cells out and takes from here what to expect.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import time

from lib import STEP_SECONDS, require
from matrix.outcomes import CURED, RETRIED, STUCK, Lost, NotApplicable

# Where the cells are tried out.
TEST = 'guest/rdma'


class Missing(Lost):
    """Lost, and as soon as it is connected again, the store knows it."""
    reason = 'is not on the server'

    def check(self, session, fault):
        super().check(session, fault)
        deadline = time.monotonic() + STEP_SECONDS
        while self.reason not in session.try_in_vain()['reason']:
            require(time.monotonic() < deadline, f'no page {self.reason}')
        stores = session.machine.qmp.command('query-remote-stores')
        require([store['status'] for store in stores] == ['lost'],
                f'the store is not lost: {stores}')
        return False


MISSING = Missing()

# The outcome or NotApplicable for the name of each fault, see faults.py.
CELLS = {
    # The unit test "stopped" of the store tries that delay.
    'slow': NotApplicable('it is the network adapter that serves pages, not a '
                          'program: a server that is slow only delays the '
                          'first page of a slab'),
    'cut': CURED,
    'full': STUCK,
    'corrupted': RETRIED,
    'swapped': RETRIED,
    'replayed': RETRIED,
    'killed': MISSING,
    'emptied': MISSING,
}
