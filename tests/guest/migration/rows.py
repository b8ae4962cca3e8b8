"""The trips that are tried out.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses

from lib import Skip
from migration.sides import (FILTERS, ORDINARY, REMOTE, STORES, OnMemcached,
                             Ram)
from migration.trip import POSTCOPY, PRECOPY, Trip

# What this QEMU can do.
POSTCOPY_TO_REMOTE = True
HANDOVER = True

PAIRS = [(REMOTE, REMOTE), (REMOTE, ORDINARY), (ORDINARY, REMOTE)]


@dataclasses.dataclass(frozen=True)
class Row:
    """A guest that goes from one kind of memory to others.

    store: where pages are that are not local
    memory: the kind at the start
    stops: the kinds that it goes to, one after the other
    trip: how it goes
    """
    store: type
    memory: str
    stops: tuple
    trip: Trip

    @property
    def title(self):
        """What the row is called."""
        way = ' to '.join([self.memory, *self.stops])
        handed = ', handed over' if self.trip.handover else ''
        more = ''.join(f', {name}' for name in self.trip.capabilities)
        return f'{way}: {self.trip.mode}{handed}{more}, {self.store.title}'

    def require(self):
        """Skip what this QEMU cannot do."""
        if self.trip.handover and not HANDOVER:
            raise Skip('there is no hand-over yet')
        if (self.trip.mode is POSTCOPY and REMOTE in self.stops and
                not POSTCOPY_TO_REMOTE):
            raise Skip('there is no postcopy to remote memory yet')


def simple_rows():
    """Each way, with each store."""
    return [Row(store, memory, (stop,), Trip(mode))
            for store in STORES for mode in (PRECOPY, POSTCOPY)
            for memory, stop in PAIRS]


def handover_rows():
    """Pages stay where they are: for stores that both sides can reach."""
    return [Row(store, REMOTE, (REMOTE,), Trip(mode, handover=True))
            for store in [*STORES, *FILTERS] if store.is_shared
            for mode in (PRECOPY, POSTCOPY)]


def handover_friends():
    """The same, and what there is beside plain postcopy."""
    return [Row(OnMemcached, REMOTE, (REMOTE,),
                Trip(POSTCOPY, handover=True, capabilities=(name,)))
            for name in ('postcopy-preempt', 'release-ram')]


def long_rows():
    """There and back."""
    return [Row(store, REMOTE, (there, REMOTE), Trip(mode))
            for store, there in ((Ram, ORDINARY), (OnMemcached, REMOTE))
            for mode in (PRECOPY, POSTCOPY)]


ROWS = [*simple_rows(), *handover_rows(), *handover_friends(),
        *long_rows()]
