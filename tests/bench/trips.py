"""Two machines, and a guest that goes from one to the other.

The guest is the boot sector of the tests: it writes all of its memory once, and
then goes on using a sixteenth of it, of which it verifies all, and writes a
quarter, again and again. The network is a socket on this host, and nothing
else limits it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import dataclasses
import re
import time

import lib
from lib import KIB, MIB, PAGE, Machine
from memcached import Memcached
from migration.guest import FOR_EVER, LINE
from migration.trip import POSTCOPY, PRECOPY, Trip, wait_state
from payload import boot_from, make_payload
from stores import server_mebibytes

# Pages that are written, by whether the run is quick.
PAGES = {False: 65536, True: 16384}
# One in so many is used afterwards.
USED_SHARE = 16
# One in so many is local.
CACHE_SHARE = 10
# Memory that is not written: the firmware's, and some.
SPARE = 16 * MIB

# Rounds over what is used until it is local, and until the guest is known to
# be well where it has arrived.
ROUNDS = 50

# Longest time in which the source lets go of its memory.
LET_GO_SECONDS = 10

PARAMETERS = {'max-bandwidth': 0, 'downtime-limit': 300}
# Precopy must not be at its end before postcopy is asked for.
HELD = {'avail-switchover-bandwidth': MIB}

# What the map says of a page in the store: hash and age.
MAP_BYTES = 9

# A tenth is local, the rest on memcached; remote memory that is all local;
# memory of this host.
REMOTE, LOCAL, ORDINARY = 'remote', 'local', 'ordinary'


@dataclasses.dataclass(frozen=True)
class Move:
    """How a guest goes from memory of one kind to another: from REMOTE to
    REMOTE by a hand-over. An idle one has not begun to run."""
    source: str
    destination: str
    mode: str = PRECOPY
    idle: bool = False

    def trip(self):
        """As the tests make it."""
        held = HELD if self.mode is POSTCOPY else {}
        return Trip(self.mode, handover=self.source is REMOTE,
                    capabilities=('events',), parameters={**PARAMETERS, **held})


def _payload(directory, pages):
    used = pages // USED_SHARE
    return boot_from(make_payload(directory, PAGES=pages, HOT=used, BEAT=used,
                                  WORDS=16, ONE_IN=4, ROUNDS=FOR_EVER))


def _machine(boot, memory, size, server, *extra):
    if memory is ORDINARY:
        return Machine(boot, size, plain=True, extra=extra)
    if memory is LOCAL:
        return Machine(boot, size, extra=extra)
    return Machine(boot, size, size // CACHE_SHARE // PAGE * PAGE,
                   server.store(), extra=extra, prefetch='off')


@contextlib.contextmanager
def machines(move, quick):
    """The two machines, whose guest has not begun; and a place for a
    socket."""
    size = PAGES[quick] * PAGE + SPARE
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(lib.work_directory())
        boot = _payload(directory, PAGES[quick])
        server = None
        if REMOTE in (move.source, move.destination):
            server = stack.enter_context(
                Memcached(directory, server_mebibytes(size)))
        source, destination = [
            stack.enter_context(_machine(boot, memory, size, server, *extra))
            for memory, extra in ((move.source, ['-S']),
                                  (move.destination, ['-incoming', 'defer']))]
        yield source, destination, f'unix:{directory}/migration'


def run(machine):
    """Let the guest go over what it uses, so many times."""
    goal = machine.console.text.count(LINE) + ROUNDS
    machine.wait_until(lambda _: machine.console.text.count(LINE) >= goal,
                       f'{ROUNDS} rounds')


def moment(machine, name, **data):
    """When an event came, in s."""
    def times():
        return [event['timestamp'] for event in machine.qmp.events
                if event['event'] == name and
                data.items() <= event.get('data', {}).items()]
    machine.wait_until(lambda _: times(), name)
    when = times()[-1]
    return when['seconds'] + when['microseconds'] / 1e6


def rss(machine):
    """Bytes of a process that are in memory, without what is in files."""
    with open(f'/proc/{machine.process.pid}/status', encoding='ascii') as file:
        parts = re.findall(r'Rss(?:Anon|Shmem):\s*(\d+)', file.read())
    return sum(map(int, parts)) * KIB


def wait_let_go(machine):
    """Wait until nothing of the guest is mapped in a source, but not for
    ever: what is left is measured."""
    deadline = time.monotonic() + LET_GO_SECONDS
    while (machine.memory()['resident-size'] and
           time.monotonic() < deadline):
        time.sleep(lib.POLL_SECONDS)


def go(move, source, destination, address):
    """Migrate."""
    trip = move.trip()
    trip.start(source, destination, address)
    if move.mode is POSTCOPY:
        trip.switch(source)
    wait_state(source, 'completed')
    wait_state(destination, 'completed')


def figures_of(move, source, destination):
    """What a migration took, in bytes and s."""
    info = source.qmp.command('query-migrate')
    figures = {'sent': info['ram']['transferred'],
               'time': info['total-time'] / 1000, 'downtime': 0}
    if not move.idle:
        figures['downtime'] = (moment(destination, 'RESUME') -
                               moment(source, 'STOP'))
    if move.mode is POSTCOPY:
        figures['mbps'] = info['ram']['postcopy-bytes'] / (
            moment(source, 'MIGRATION', status='completed') -
            moment(source, 'MIGRATION', status='postcopy-active'))
    return figures


def measure(move, quick):
    """Make one migration; returns figures by name, see tripjobs.py."""
    with machines(move, quick) as (source, destination, address):
        figures = {}
        if not move.idle:
            source.qmp.command('cont')
            run(source)
        if move.source is REMOTE:
            memory = source.memory()
            figures['local'] = memory['resident-size']
            figures['map'] = memory['remote-size'] // PAGE * MAP_BYTES
        figures['before'] = rss(source)
        go(move, source, destination, address)
        figures.update(figures_of(move, source, destination))
        if not move.idle:
            run(destination)
            if move.source is REMOTE:
                wait_let_go(source)
        figures['after'] = rss(source)
        return figures
