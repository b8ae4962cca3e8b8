"""What fails in the middle of a migration.

Each case draws the moment at which it happens, in bytes of the stream: there
the network stops, and what happens then does not depend on how busy this
machine is.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib

import lib
from lib import STEP_SECONDS, require
from migration import guest
from migration.journey import Journey
from migration.sides import ORDINARY, REMOTE, OnMemcached, Ram
from migration.trip import Trip, state, wait_state
from migration.wire import Wire
from proxy import Proxy

# Goes over the memory again and again, as fast as it can, and waits before
# the switch if it is through.
ENDLESS = Trip(capabilities=('pause-before-switchover',),
               parameters={'max-bandwidth': 0})

REPEATS = 20


@contextlib.contextmanager
def held_migration(journey, memory, size):
    """A migration that stands still after so many bytes, or before the
    switch if it comes to that. Gives the destination and the wire."""
    source, destination = journey.machine, journey.make_destination(memory)
    address = journey.address()
    with Wire(address.removeprefix('unix:')) as wire:
        wire.stop_after(size)
        ENDLESS.start(source, destination, address, wire.address)
        source.wait_until(lambda _: wire.is_stopped.is_set() or
                          state(source) == 'pre-switchover', 'the moment')
        yield destination, wire


def wait_end(destination):
    """A destination that gets no more ends."""
    require(lib.reap(destination.process, STEP_SECONDS),
            'the destination does not end')
    require(destination.process.returncode == 1,
            f'the destination ended with {destination.process.returncode}')


def let_switch(source):
    """What waits before the switch may go on."""
    if state(source) == 'pre-switchover':
        source.qmp.command('migrate-continue', state='pre-switchover')


def cancelled(moments):
    """Cancelled at any moment: the guest goes on where it is"""
    with Journey(Ram) as journey:
        for _ in range(REPEATS):
            with held_migration(journey, REMOTE, moments.any_pass()) as (
                    destination, wire):
                cancel(journey.machine, wire)
                wait_end(destination)
            journey.go_on()
        journey.travel(Trip())


def cancel(source, wire):
    """It is cancelled, unless its end was found first."""
    source.qmp.command('migrate_cancel')
    wire.resume()
    wait_state(source, 'cancelled', 'failed')


def destination_killed(moments):
    """The destination dies in precopy: the guest goes on where it is"""
    with Journey(Ram) as journey:
        for _ in range(REPEATS):
            with held_migration(journey, ORDINARY, moments.any_pass()) as (
                    destination, wire):
                destination.kill()
                wire.resume()
                let_switch(journey.machine)
                wait_state(journey.machine, 'failed')
            journey.go_on()
        journey.travel(Trip())


class OnNetwork(OnMemcached):
    """A server that the first machine reaches by a network that fails."""

    def __init__(self, directory):
        super().__init__(directory)
        self.network = self.enter_context(Proxy(self.server.path))

    def store(self, number):
        way = self.network.server if number == 1 else None
        return self.server.store(way)


def source_store_lost(moments):
    """The source's store is lost in precopy: the VM stops, the migration \
ends, the guest goes on when the store is back"""
    with Journey(OnNetwork) as journey:
        source, network = journey.machine, journey.store.network
        for _ in range(REPEATS):
            with held_migration(journey, REMOTE, moments.early()) as (
                    destination, wire):
                network.cut()
                # Else the migration may stop the VM before, to end
                source.wait_status('io-error')
                wire.resume()
                network.restore()
                guest.revive(source)
                cancel(source, wire)
                wait_end(destination)
            guest.go_on(source)
            source.check_records()
        journey.travel(Trip())


def source_killed(_):
    """The source dies after the switch: the guest goes on where it is"""
    trip = Trip(parameters={'max-bandwidth': 0})
    with Journey(OnMemcached) as journey:
        for _ in range(REPEATS):
            source, destination = journey.machine, journey.make_destination()
            trip.make(source, destination, journey.address())
            source.kill()
            journey.machines.append(destination)
            journey.go_on()


CASES = [cancelled, destination_killed, source_store_lost, source_killed]
