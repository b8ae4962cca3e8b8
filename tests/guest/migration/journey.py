"""A guest and the machines that it has been on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib

import lib
from lib import require
from migration import guest
from migration.sides import REMOTE, make_side
from migration.trip import TCP, UNIX
from payload import boot_from


class Journey(contextlib.ExitStack):
    """A guest that is busy. The last of its machines is where it is now, and
    all that it has been on stay until the end. Their stores have a place
    each, or share one."""

    def __init__(self, store, memory=REMOTE, shared=False, disk=boot_from,
                 extra=()):
        super().__init__()
        self.machines = []
        self.shared = shared
        self.extra = list(extra)
        self.numbers = 0
        self.pinned = False
        try:
            self.directory = self.enter_context(lib.work_directory())
            self.boot = disk(guest.busy_payload(self.directory))
            self.store = self.enter_context(store(self.directory))
            self.machines.append(self.make_machine(memory))
            self.go_on()
        except BaseException:
            self.close()
            raise

    @property
    def machine(self):
        """Where the guest is."""
        return self.machines[-1]

    def make_machine(self, memory, *extra, **options):
        """One more machine."""
        self.numbers += 1
        return self.enter_context(make_side(
            self.boot, memory, self.store, 0 if self.shared else self.numbers,
            [*self.extra, *extra], **options))

    def make_destination(self, memory=REMOTE, *extra):
        """A machine for the guest to go to."""
        return self.make_machine(memory, '-incoming', 'defer', *extra)

    def address(self, scheme=UNIX):
        """A place that no migration has used before."""
        if scheme == TCP:
            return 'tcp:127.0.0.1:' + str(lib.free_port())
        return f'{scheme}:{self.directory}/migration{self.numbers}'

    def travel(self, trip, memory=REMOTE):
        """Go to another machine."""
        source, destination = self.machine, self.make_destination(memory)
        self.pinned = 'direct-io' in trip.parameters
        trip.make(source, destination, self.address(trip.scheme))
        self.arrive(destination)

    def arrive(self, destination):
        """The guest is there now, and only there."""
        source = self.machine
        last_words = source.console.drain()
        self.machines.append(destination)
        self.go_on(2)
        require(source.status() == 'postmigrate',
                f'the source is {source.status()}')
        require(guest.has_stopped(source, last_words),
                'the guest still speaks on the source')

    def go_on(self, rounds=1, until=lambda: True):
        """Verify all of the guest's memory, and all that is known of it."""
        guest.go_on(self.machine, rounds, until)
        self.check()

    def check(self):
        """What must be true at any time."""
        guest.check_speech(self.machines)
        if not self.machine.plain:
            lib.check_memory(self.machine, pinned=self.pinned)
            self.machine.check_records()
