"""The columns of the fault matrix.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way of failing. Its name is that of the method of a leaf that
    begins and ends it."""
    name: str
    title: str
    text: str
    is_lie: bool = False


SLOW = Fault('slow', 'Slow', 'answers come, but long after the timeout')
CUT = Fault('cut', 'Cut', 'every connection breaks and no other is '
            'accepted, for a while')
FULL = Fault('full', 'Full', 'the server takes no more pages')
CORRUPTED = Fault('corrupted', 'Corrupted', 'the page that comes back has a '
                  'flipped bit', is_lie=True)
SWAPPED = Fault('swapped', 'Swapped', 'what comes back is another page',
                is_lie=True)
REPLAYED = Fault('replayed', 'Replayed', 'what comes back is an older '
                 'version of the page', is_lie=True)
KILLED = Fault('killed', 'Killed', 'the server is killed (SIGKILL) and is '
               'away for a while')
EMPTIED = Fault('emptied', 'Emptied', 'the server is killed and comes back '
                'without what it had')

# In the order in which they are tried: what a server survives comes first.
FAULTS = [SLOW, CUT, CORRUPTED, SWAPPED, REPLAYED, FULL, KILLED, EMPTIED]
LIES = [fault for fault in FAULTS if fault.is_lie]
