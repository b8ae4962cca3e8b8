"""A fleet over time: histories and events.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections

from . import units
from .fleet import Fleet
from .history import History

Event = collections.namedtuple('Event', 'time vm text')


def event_text(message):
    """An event in words."""
    data = message.get('data', {})
    kind = message['event']
    if kind == 'REMOTE_MEMORY_CACHE_SIZE_CHANGE':
        return (f"{data['id']}: cache of {units.size(data['cache-size'])} "
                f"reached with {units.size(data['local-size'])} local")
    if kind == 'REMOTE_MEMORY_ERROR':
        return (f"{data['id']}: {data['operation']} failed, store "
                f"{data['store']}: {data['reason']} "
                f"(action: {data['action']})")
    if kind == 'REMOTE_STORE_STATUS_CHANGE':
        return f"store {data['id']} is {data['status']}"
    return {'STOP': 'the VM has stopped', 'RESUME': 'the VM runs',
            'SHUTDOWN': 'the VM shuts down'}.get(kind, kind)


class Watch:
    """What is known of all VMs, from the first sample on."""

    # Events are few; a store that flaps for days must not fill the memory.
    EVENT_LIMIT = 500

    def __init__(self, words, seconds=5):
        self.fleet = Fleet(words, seconds)
        self.histories = {}
        self.events = collections.deque(maxlen=self.EVENT_LIMIT)
        self.present = []       # addresses of now

    async def poll(self):
        """Take a sample of each VM."""
        samples = await self.fleet.samples()
        for address, sample in samples.items():
            self.histories.setdefault(address, History()).add(sample)
        self.present = list(samples)
        self._note_events()

    def _note_events(self):
        for address, moment, message in self.fleet.take_events():
            self.events.append(Event(moment, self.title(address),
                                     event_text(message)))

    def title(self, address):
        """A VM's name as it was in the last sample."""
        return self.histories[address].latest[-1].name

    def now(self):
        """What happened last, by address, of the VMs that are there."""
        return {address: self.histories[address].now()
                for address in self.present}

    async def close(self):
        """End all connections."""
        await self.fleet.close()
