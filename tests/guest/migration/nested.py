"""A guest that is handed over between QEMUs in a guest, which has the RDMA
device that their store needs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from lib import require
from matrix.nested import PART, TRAVELLER, Inner, OnRdma
from migration import guest
from migration.handover import AT_ONCE, try_to_run
from migration.journey import Journey
from migration.sides import REMOTE
from migration.trip import POSTCOPY, Trip

LATER = Trip(POSTCOPY, handover=True)

TIMEOUT_MS = 30000


class Server(OnRdma):
    """A memory server of which no request may fail."""

    def driver(self):
        return {**super().driver(), 'request-timeout-ms': TIMEOUT_MS}


class Machine(Inner):
    """A machine for the guest."""
    size, cache, disk = guest.SIZE, guest.CACHE // PART, TRAVELLER


class NestedJourney(Journey):
    """A guest on a memory server, on its way through machines of a host."""

    def __init__(self, host):
        self.host = host
        super().__init__(lambda _: Server(host, None), shared=True)

    def make_machine(self, memory, *extra, **options):
        # One or two threads: so many queues into the store.
        threads = [f'io{i}' for i in range(1 + self.numbers % 2)]
        objects = [word for thread in threads
                   for word in ('-object', f'iothread,id={thread}')]
        machine = Machine(self.host, self.store.store(), self.numbers,
                          [*objects, *extra], iothreads=threads)
        self.numbers += 1
        return self.enter_context(machine)

    def address(self, scheme='unix'):
        return f'{scheme}:/tmp/migration{self.numbers}'

    def leave(self):
        """The machine before does not run, and then dies: go on."""
        try_to_run(self.machines[-2])
        self.machines[-2].kill()
        self.go_on()
        stores = self.machine.qmp.command('query-remote-stores')
        require([store['status'] for store in stores] == ['connected'],
                f'the store is not connected: {stores}')


def destination_killed(journey):
    """The destination dies before it runs: the guest goes on where it is"""
    source = journey.machine
    destination = journey.make_destination(REMOTE, '-S')
    AT_ONCE.make(source, destination, journey.address())
    destination.kill()
    source.qmp.command('cont')
    journey.go_on()


def precopy(journey):
    """By precopy; then the source does not run, and dies"""
    journey.travel(AT_ONCE)
    journey.leave()


def postcopy(journey):
    """By postcopy; then the source does not run, and dies"""
    journey.travel(LATER)
    journey.leave()


def server_restarted(journey):
    """The server is restarted before one of both runs: neither does"""
    source = journey.machine
    destination = journey.make_destination(REMOTE, '-S')
    AT_ONCE.make(source, destination, journey.address())
    journey.store.emptied(destination, True)
    try_to_run(destination)
    try_to_run(source)


# The guest survives all but the last.
CASES = [destination_killed, precopy, postcopy, server_restarted]
