"""Share a budget of local memory between virtual machines: the rounds.

In a round all VMs are asked, and those that are to have less are told so. Only
what they have really let go is given to others. So what all of them may have
is never more than the budget on account of a change.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import asyncio
import dataclasses
import typing

from . import demand, sockets
from .fleet import Fleet
from .machine import MachineError
from .rates import Change
from .share import Client, Policy, fit_floors
from .units import PAGE, whole_pages

# By default, what an idle VM keeps of its memory.
FLOOR_DIVISOR = 16

# How often to look whether caches have shrunk, in seconds.
LOOK_SECONDS = 0.1


@dataclasses.dataclass
class Wish:
    """What the user says of the VMs of a word."""

    word: str
    weight: float = 1
    floor: typing.Optional[int] = None


@dataclasses.dataclass
class Entry:  # pylint: disable=too-many-instance-attributes
    """A backend in a round."""

    key: typing.Tuple           # address of its VM, and its id
    vm: str
    backend: dict
    wish: Wish
    note: str = ''              # why it is left alone, or what went wrong
    most: int = 0               # what it may take all the same
    floor: int = 0
    waits: float = 0
    target: int = 0             # a cache size

    def taken(self):
        """What it may have now: the bound, or more while it shrinks."""
        backend = self.backend
        return max(backend['cache-size'], backend['resident-size'] +
                   backend['standby-size'] + backend['in-flight-size'],
                   self.most)

    def as_dict(self):
        """What is shown of it to a script."""
        return {'vm': self.vm, 'socket': sockets.text(self.key[0]),
                'backend': self.key[1],
                'cache-size': self.backend['cache-size'],
                'target': self.target, 'taken': self.taken(),
                'floor': self.floor, 'weight': self.wish.weight,
                'waits': self.waits, 'note': self.note or None}


def auto_size_note(backend):
    """Why a backend that sizes itself is left alone."""
    if 'auto-size' not in backend:
        return '', 0
    return ('auto-size is on: counted with max-cache-size; set auto-size to '
            'off to have it balanced', backend['auto-size']['max-cache-size'])


def obstacle(sample, backend):
    """Why a backend is left alone, and what it may take all the same."""
    note, most = auto_size_note(backend)
    if note:
        return note, most
    if sample.status != 'running':
        return f'the VM is {sample.status}', 0
    if backend['state'] not in ('running', 'shrinking'):
        return f"its state is {backend['state']}", 0
    return '', 0


class Balancer:
    """A budget, and the VMs that share it."""

    def __init__(self, budget, wishes, timeout, patience):
        self.budget = budget
        self.wishes = wishes
        self.fleet = Fleet([wish.word for wish in wishes], timeout)
        self.patience = patience    # for caches to shrink, in seconds
        self.policy = Policy()
        self.samples = {}           # of the round before, by address
        self.entries = {}           # of the last round
        self.costs = {}
        self.missing = []           # VMs that do not answer

    async def look(self):
        """Ask all VMs; changes since the last time, by address."""
        samples = await self.fleet.samples()
        self.fleet.take_events()
        changes = {address: Change(self.samples.get(address), sample)
                   for address, sample in samples.items()}
        self.samples = {address: sample if sample.is_up
                        else self.samples.get(address, sample)
                        for address, sample in samples.items()
                        if not sample.gone}
        return changes

    def taken(self):
        """What all may have now."""
        return sum(entry.taken() for entry in self.entries.values())

    def _describe(self, changes):
        """All backends, with what is known of them."""
        former, self.entries = self.entries, {}
        wishes = {address: wish for wish in reversed(self.wishes)
                  for address in sockets.expand(wish.word)}
        self.missing = [(change.after.name, change.after.error)
                        for change in changes.values()
                        if not change.after.is_up]
        for address, change in changes.items():
            sample = change.after
            if not sample.is_up and not sample.gone:
                self._keep(address, former, sample.error)
            for backend in sample.backends:
                self._add(sample, (address, backend['id']), backend,
                          wishes.get(address, self.wishes[0]))
        floors = fit_floors({key: entry.floor for key, entry
                             in self.entries.items()}, self.budget)
        for key, entry in self.entries.items():
            entry.floor = floors[key]

    def _keep(self, address, former, error):
        """Who does not answer may be there all the same, with what it had."""
        for key, entry in former.items():
            if key[0] == address:
                entry.note = error
                self.entries[key] = entry

    def _add(self, sample, key, backend, wish):
        note, most = obstacle(sample, backend)
        floor = backend['size'] // FLOOR_DIVISOR if wish.floor is None \
            else min(wish.floor, backend['size'])
        self.entries[key] = Entry(key, sample.name, backend, wish, note, most,
                                  whole_pages(floor),
                                  target=backend['cache-size'])

    def _clients(self, changes):
        """Those who take part."""
        clients = []
        for key, entry in self.entries.items():
            if entry.note:
                continue
            backend = entry.backend
            client = Client(key, backend['size'], backend['cache-size'],
                            backend['resident-size'] + backend['standby-size'],
                            entry.floor, entry.wish.weight)
            rates = changes[key[0]].backend(key[1])['rates']
            client.fresh = not rates
            entry.waits = demand.waiting(rates)
            client.curve, client.guessed, self.costs[key] = demand.curve(
                backend, rates, self.costs.get(key, demand.PAGE_COST))
            clients.append(client)
        return clients

    def decide(self, changes):
        """Set the targets."""
        self._describe(changes)
        clients = self._clients(changes)
        active = {client.key for client in clients}
        others = sum(entry.taken() for key, entry in self.entries.items()
                     if key not in active)
        plan = self.policy.plan(clients, self.budget - others)
        for key, size in plan.items():
            self.entries[key].target = size

    async def round(self, dry=False):
        """One round."""
        self.decide(await self.look())
        if dry:
            return
        moving = [entry for entry in self.entries.values()
                  if entry.target != entry.backend['cache-size'] and
                  not entry.note]
        down = [entry for entry in moving
                if entry.target < entry.backend['cache-size']]
        for entry in down:
            await self._resize(entry, entry.target)
        if any(entry not in down for entry in moving):
            await self._wait(down)
            await self._grow([entry for entry in moving
                              if entry not in down])

    async def _resize(self, entry, size):
        """Ask for a size. If nobody knows what became of it, it may be either
        one."""
        machine = self.fleet.machines.get(entry.key[0])
        before = entry.backend['cache-size']
        try:
            if not machine:
                raise MachineError('the VM is gone')
            await machine.set_cache_size(entry.key[1], size)
        except MachineError as error:
            entry.note = str(error)
            entry.backend['cache-size'] = max(size, before)
        else:
            entry.backend['cache-size'] = size

    async def _wait(self, down):
        """Until those who shrink have done so, or patience has ended."""
        end = asyncio.get_running_loop().time() + self.patience
        while True:
            await self._update()
            if all(entry.taken() <= entry.target or entry.note
                   for entry in down) or \
                    asyncio.get_running_loop().time() >= end:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _update(self):
        """What all have now."""
        samples = await self.fleet.samples()
        for key, entry in list(self.entries.items()):
            sample = samples.get(key[0])
            backend = sample.backend(key[1]) if sample else None
            if backend:
                entry.backend = backend
                entry.most = auto_size_note(backend)[1]
            elif not sample or sample.gone or sample.is_up:
                del self.entries[key]       # it has ended

    async def _grow(self, up):
        """Give what is free, to those first who wait most."""
        for entry in sorted(up, key=lambda entry:
                            -entry.wish.weight * entry.waits):
            free = max(self.budget - self.taken(), 0)
            before = entry.backend['cache-size']
            size = min(entry.target, before + whole_pages(free))
            if entry.key in self.entries and size >= before + PAGE:
                await self._resize(entry, size)

    async def close(self):
        """End all connections."""
        await self.fleet.close()
