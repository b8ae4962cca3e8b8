"""What the guest's memory must look like to somebody who reads it.

The guest is that of migration/guest.py.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct

from lib import PAGE, require
from migration import guest
from migration.guest import ONE_IN, PAGES

# As in payload.S.
FIRST = 0x100000
FACTOR = 0x9e3779b1

SIZE = PAGES * PAGE
WORDS = struct.Struct('<1024I')
ROUND_BITS = (1 << 32) - 1


def rounds(address, page):
    """Which rounds have written the words of a page."""
    words = WORDS.unpack(page)
    return {(word - (address + 4 * index) * FACTOR) & ROUND_BITS
            for index, word in enumerate(words)}


def pages(memory):
    """The same for all whole pages of what begins at FIRST."""
    return [rounds(FIRST + place, memory[place:place + PAGE])
            for place in range(0, len(memory) - PAGE + 1, PAGE)]


def check_still(memory):
    """Of a guest that stood still: every page was written in one round of the
    last ones; the page that it was at when it stopped may be of two."""
    require(len(memory) == SIZE, f'{len(memory)} bytes')
    found = pages(memory)
    require(sum(len(page) > 1 for page in found) <= 1, 'pages are mixed up')
    newest = max(max(page) for page in found)
    require(newest - min(min(page) for page in found) <= ONE_IN,
            'pages are too old')


class Watch:
    """Checks what was read while the guest ran: each word is of a round that
    was one of the last ones between the beginning and the end."""

    def __init__(self, machine):
        self.machine = machine
        self.oldest = self._round() - ONE_IN

    def _round(self):
        return guest.verified(self.machine) // PAGES

    def check(self, memory, whole=True):
        """Check all of it, or as much as was written of a file."""
        require(len(memory) == SIZE or not whole, f'{len(memory)} bytes')
        # The first round only writes, and says nothing; and what it says now
        # may still be on its way.
        newest = self._round() + 2
        for number, page in enumerate(pages(memory)):
            require(self.oldest <= min(page) and max(page) <= newest,
                    f'page {number} is of rounds {sorted(page)[:8]}, not of '
                    f'{self.oldest} to {newest}')
