"""What fails in the middle of a hand-over.

Wherever it happens, the guest goes on, and on one side only.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import signal
import time

from lib import MIB, STEP_SECONDS, Failure, require
from migration import guest
from migration.journey import Journey
from migration.sides import (ORDINARY, REMOTE, OnBlock, OnMemcached, OnMirror,
                             Ram)
from migration.trip import (ENDED, FAST, POSTCOPY, Trip, set_capabilities,
                            state, wait_state)
from migration.wire import Wire
from proxy import Proxy
from qmp import QmpClosed, QmpError

# Nothing holds it up.
AT_ONCE = Trip(handover=True, parameters=FAST)

# So slow that the source has not sent all when the network breaks: after that
# it takes a failure for final.
LATER = Trip(POSTCOPY, handover=True,
             parameters={'max-postcopy-bandwidth': MIB})

REPEATS = 20
COPY_REPEATS = 8

# The store is lost for so long at most: in less, requests do not time out.
LOST_SECONDS = 3

# More than a whole migration of this guest: what is local, twice, and all
# that is said of devices and pages.
STREAM_BYTES = MIB

# Less than such a migration has sent when half of what is local is there.
HALF_BYTES = 320 * 1024


@contextlib.contextmanager
def held(journey, trip, size):
    """A migration that stands still after so many bytes, or is through. Gives
    the destination and the wire."""
    source, destination = journey.machine, journey.make_destination()
    address = journey.address()
    with Wire(address.removeprefix('unix:')) as wire:
        wire.stop_after(size)
        trip.start(source, destination, address, wire.address)
        if trip.mode is POSTCOPY:
            trip.switch(source)
        source.wait_until(lambda _: wire.is_stopped.is_set() or
                          state(source) in ENDED, 'the moment')
        yield destination, wire


def settle(journey, destination):
    """After a failure: the guest is where it was, or has arrived."""
    source = journey.machine
    source.wait_until(lambda now: now == 'running' or is_running(destination),
                      'a guest that runs')
    if is_running(destination):
        journey.machines.append(destination)
        journey.go_on(2)
        require(not is_running(source), 'two guests run')
    else:
        journey.go_on()
        # If all has come it stays, and says that the guest is not its own.
        require(not is_running(destination), 'two guests run')
        destination.kill()


def is_running(machine):
    """Whether it is there, and its guest runs."""
    with contextlib.suppress(QmpError, QmpClosed, OSError):
        return machine.process.poll() is None and machine.status() == 'running'
    return False


def cancelled(moments):
    """Cancelled at any moment: the guest goes on"""
    with Journey(OnMemcached, shared=True) as journey:
        for _ in range(REPEATS):
            with held(journey, AT_ONCE, moments.up_to(STREAM_BYTES)) as (
                    destination, wire):
                journey.machine.qmp.command('migrate_cancel')
                wire.resume()
                settle(journey, destination)


def destination_killed(moments):
    """The destination dies at any moment before the switch: the guest goes on
    where it is"""
    with Journey(OnBlock, shared=True) as journey:
        for _ in range(REPEATS):
            with held(journey, AT_ONCE, moments.up_to(HALF_BYTES)) as (
                    destination, wire):
                destination.kill()
                wire.cut()
                wire.resume()
                wait_state(journey.machine, 'failed')
                journey.go_on()
        journey.travel(AT_ONCE)


def source_late(moments):
    """The source stops at any moment, and comes back late: one of both goes
    on"""
    with Journey(OnMemcached, shared=True) as journey:
        for _ in range(REPEATS):
            with held(journey, AT_ONCE, moments.up_to(STREAM_BYTES)) as (
                    destination, wire):
                source = journey.machine
                source.process.send_signal(signal.SIGSTOP)
                wire.resume()
                # What is on its way arrives, or breaks off.
                wire.cut()
                source.process.send_signal(signal.SIGCONT)
                settle(journey, destination)


def try_to_run(machine):
    """Tell a source to run whose guest is elsewhere: it says why not."""
    machine.qmp.forget_events()
    machine.qmp.command('cont')
    event = machine.qmp.wait_event('REMOTE_MEMORY_ERROR', STEP_SECONDS)
    require(event['operation'] == 'take-over', f'not the right event: {event}')
    require(machine.status() != 'running', 'two guests run')


def source_stays(_):
    """The source is told to run after the switch: it does not"""
    with Journey(OnBlock, shared=True) as journey:
        source = journey.machine
        journey.travel(AT_ONCE)
        try_to_run(source)
        journey.go_on()
        source.kill()
        journey.go_on(2)


def recover(journey, destination):
    """Let a postcopy that has lost its network go on over another."""
    address = journey.address() + 'r'
    wait_state(destination, 'postcopy-paused')
    destination.qmp.command('migrate-recover', uri=address)
    journey.machine.qmp.command('migrate', uri=address, resume=True)
    wait_state(journey.machine, 'completed')


def postcopy_cut(moments):
    """The network breaks in postcopy, at any moment: it is recovered, or the
    guest goes on where it is"""
    with Journey(OnMemcached, shared=True) as journey:
        for _ in range(REPEATS):
            with held(journey, LATER, moments.up_to(HALF_BYTES)) as (
                    destination, wire):
                source = journey.machine
                wire.cut()
                wire.resume()
                wait_state(source, *ENDED, 'postcopy-paused')
                if state(source) == 'postcopy-paused':
                    recover(journey, destination)
                settle(journey, destination)


class OnCutNetwork(OnMemcached):
    """A server that all machines reach by a network that fails."""

    def __init__(self, directory):
        super().__init__(directory)
        self.network = self.enter_context(Proxy(self.server.path))

    def store(self, number):
        return self.server.store(self.network.server)


class RoughJourney(Journey):
    """One on which requests to the store fail."""

    def check(self):
        guest.check_speech(self.machines)
        self.machine.check_records()


def revive(machines):
    """Tell all of them to run, until one does."""
    def done(_):
        for machine in machines:
            with contextlib.suppress(QmpError, QmpClosed, OSError):
                machine.qmp.command('cont')
        return any(is_running(machine) for machine in machines)
    machines[0].wait_until(done, 'a guest that runs')


def lose(journey, moments, repeats):
    """What is behind the network that fails is lost at any moment."""
    with journey:
        for _ in range(repeats):
            with held(journey, AT_ONCE, moments.up_to(STREAM_BYTES)) as (
                    destination, wire):
                source, network = journey.machine, journey.store.network
                network.cut()
                wire.resume()
                # Either side may wait for a page now, and the other for it.
                time.sleep(moments.seconds(LOST_SECONDS))
                network.restore()
                wait_state(source, *ENDED)
                revive([source, destination])
                settle(journey, destination)


def store_lost(moments):
    """The store is lost at any moment: one of both goes on when it is back"""
    lose(RoughJourney(OnCutNetwork, shared=True), moments, REPEATS)


class OnCutMirror(OnMirror):
    """A mirror of a server, and another one by a network that fails."""

    def __init__(self, directory):
        super().__init__(directory)
        self.network = self.enter_context(Proxy(self.servers[1].path))

    def store(self, number):
        first, second = self.servers
        return {'qom-type': self.kind,
                'stores': [first.store(), second.store(self.network.server)]}


def copy_lost(moments):
    """A copy of a mirror is lost at any moment: one of both goes on, when it
    is back at the latest"""
    lose(RoughJourney(OnCutMirror, shared=True), moments, COPY_REPEATS)


def mirror_status(machine):
    """How the store is on which the others stand."""
    stores = machine.qmp.command('query-remote-stores')
    return {entry['type']: entry['status']
            for entry in stores}['remote-store-mirror']


def copy_dead(_):
    """A copy of a mirror is dead when it is handed over: the destination
    brings it all pages, and can do with that one alone"""
    with RoughJourney(OnMirror, shared=True) as journey:
        destination = journey.make_destination()
        first, second = journey.store.servers
        second.kill()
        AT_ONCE.make(journey.machine, destination, journey.address())
        journey.arrive(destination)
        require(mirror_status(destination) == 'degraded',
                'nobody has noticed')
        second.start()
        destination.wait_until(
            lambda _: mirror_status(destination) == 'connected',
            'a mirror that is whole')
        first.kill()
        journey.go_on(2)


def loaded_twice(_):
    """A stream in a file is loaded twice: one guest runs"""
    with Journey(OnMemcached, shared=True) as journey:
        source, address = journey.machine, journey.address('file')
        set_capabilities(source, ['remote-memory'])
        source.qmp.command('migrate', uri=address)
        wait_state(source, 'completed')
        machines = [journey.make_destination() for _ in range(2)]
        for machine in machines:
            set_capabilities(machine, ['remote-memory'])
            machine.qmp.command('migrate-incoming', uri=address)
            wait_state(machine, 'completed')
        journey.machines.append(machines[0])
        journey.go_on(2)
        try_to_run(machines[1])


def refused(_):
    """What cannot be handed over is refused when it is asked for: the guest
    goes on"""
    with Journey(OnMemcached, shared=True) as journey:
        for name, scheme in (('multifd', 'tcp'), ('mapped-ram', 'file')):
            require_refusal(journey, name, scheme, 'remote-memory', name)
        journey.go_on()
    with Journey(Ram) as journey:
        require_refusal(journey, 'remote-store-ram', 'tcp', 'remote-memory')
        journey.go_on()


def require_refusal(journey, words, scheme, *capabilities):
    """A migration with these capabilities is refused with these words."""
    set_capabilities(journey.machine, capabilities)
    try:
        journey.machine.qmp.command('migrate', uri=journey.address(scheme))
    except QmpError as error:
        require(words in str(error), f'not the error: {error}')
        return
    raise Failure(f'a migration with {capabilities} was not refused')


def not_wanted(_):
    """A destination without the capability, or with a store of another kind:
    it says so, and the guest goes on at the source"""
    with Journey(OnMemcached, shared=True) as journey:
        source = journey.machine
        for capabilities, memory in (([], REMOTE), (['remote-memory'],
                                                    ORDINARY)):
            destination = journey.make_machine(memory, '-incoming', 'defer')
            set_capabilities(source, ['remote-memory'])
            set_capabilities(destination, capabilities)
            address = journey.address()
            destination.qmp.command('migrate-incoming', uri=address)
            source.qmp.command('migrate', uri=address)
            destination.process.wait()
            source.wait_until(lambda _: state(source) in ENDED, 'an end')
            source.wait_until(lambda now: now == 'running', 'the guest')
            journey.go_on()
            require('remote' in destination.messages(),
                    f'it does not say why: {destination.messages()}')
        journey.travel(AT_ONCE)


CASES = [refused, not_wanted, cancelled, destination_killed, source_late,
         source_stays, postcopy_cut, store_lost, copy_lost, copy_dead,
         loaded_twice]
