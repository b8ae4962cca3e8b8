"""All virtual machines that are watched.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import asyncio
import collections

from . import sockets
from .machine import Machine


def unique_names(samples):
    """Give VMs that have the same name their socket as a surname. Nothing
    must be taken for another one's."""
    names = collections.Counter(sample.name for sample in samples)
    for sample in samples:
        if names[sample.name] > 1:
            sample.name = f'{sample.name} ({sample.address})'


class Fleet:
    """VMs by address. Those of a directory or pattern come and go with their
    sockets."""

    def __init__(self, words, seconds=5):
        self.words = list(words)
        self.seconds = seconds
        self.machines = {}
        self._lock = asyncio.Lock()

    async def samples(self):
        """A sample of each VM, by address."""
        async with self._lock:
            await self._look_around()
            machines = list(self.machines.items())
            samples = await asyncio.gather(
                *(machine.sample() for _, machine in machines))
        unique_names(samples)
        return {address: sample for (address, _), sample
                in zip(machines, samples)}

    async def _look_around(self):
        addresses = sockets.expand_all(self.words)
        for gone in set(self.machines) - set(addresses):
            await self.machines.pop(gone).close()
        # In the order of the words
        self.machines = {
            address: self.machines.get(address) or
            Machine(address, self.seconds) for address in addresses}

    def take_events(self):
        """Events of all VMs: address, time and message."""
        return [(address, *event)
                for address, machine in self.machines.items()
                for event in machine.take_events()]

    async def close(self):
        """End all connections."""
        async with self._lock:
            for machine in self.machines.values():
                await machine.close()
