"""What else there is beside plain live migration, and whether it works.

Each row of the table in the documentation is tried out by a function here,
with a guest whose memory is remote.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import dataclasses
import os
import resource
import subprocess
import typing
import uuid

import lib
from lib import MIB, QmpError, Skip, require
from migration import guest
from migration.journey import Journey
from migration.sides import ORDINARY, REMOTE, OnBlock, Ram
from migration.trip import (FILE, POSTCOPY, TCP, Trip, set_capabilities,
                            wait_state)
from readers.content import check_still
from readers.dump import from_elf

WORKS, REFUSED = 'works', 'refused'


@dataclasses.dataclass(frozen=True)
class Friend:
    """A row.

    title: what it is called
    answer: whether it works
    text: what there is to know about it
    check: tries it out
    """
    title: str
    answer: str
    text: str
    check: typing.Callable


# --- by migration ----------------------------------------------------------

def travels(*capabilities, stops=(REMOTE,), **options):
    """The guest goes on after such trips."""
    def check():
        trip = Trip(capabilities=capabilities, **options)
        with Journey(Ram) as journey:
            for memory in stops:
                journey.travel(trip, memory)
    return check


def zero_copy():
    """Pages are sent from where they are; to have so many locked has to be
    allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() and soft != resource.RLIM_INFINITY and soft < guest.SIZE:
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (guest.SIZE, hard))
        except ValueError as error:
            raise Skip(f'no more than {hard} bytes can be locked') from error
    travels('multifd', 'zero-copy-send', scheme=TCP)()


def auto_converge():
    """The guest is slowed down, and goes on at its pace afterwards."""
    def is_slowed(_):
        info = journey.machine.qmp.command('query-migrate')
        require(info['status'] != 'completed', 'it was through before')
        return info.get('cpu-throttle-percentage', 0) > 0

    trip = Trip(capabilities=('auto-converge',),
                parameters={'max-bandwidth': 4 * MIB})
    with Journey(Ram) as journey:
        source, destination = journey.machine, journey.make_destination()
        trip.start(source, destination, journey.address())
        source.wait_until(is_slowed, 'a slower guest')
        trip.finish(source)
        wait_state(destination, 'completed')
        journey.arrive(destination)


def same_uuid():
    """Both sides have the same UUID, or the destination refuses."""
    ours, other = (str(uuid.uuid4()) for _ in range(2))
    trip = Trip(capabilities=('validate-uuid',))
    with Journey(Ram, extra=['-uuid', ours]) as journey:
        wrong = journey.make_destination(REMOTE, '-uuid', other)
        trip.start(journey.machine, wrong, journey.address())
        trip.switch(journey.machine)
        require(lib.reap(wrong.process, lib.STEP_SECONDS) and
                'UUID' in wrong.messages(), f'not so: {wrong.messages()}')
        wait_state(journey.machine, 'failed')
        journey.go_on()
        journey.travel(trip)


# --- by other commands -----------------------------------------------------

def qcow2(image):
    """Command line for a disk that has snapshots, to boot from."""
    disk = image.with_suffix('.qcow2')
    subprocess.run([lib.ROOT / 'build' / 'qemu-img', 'convert', '-O', 'qcow2',
                    image, disk], check=True, stdout=subprocess.DEVNULL)
    return ['-drive', f'file={disk},format=qcow2,if=ide']


def hmp(machine, line):
    """A command of the human monitor that says nothing if all is well."""
    answer = machine.qmp.hmp(line)
    require(not answer, f'{line}: {answer}')


def go_on(machine):
    """A guest that was set back says things again."""
    guest.go_on(machine, 2)
    lib.check_memory(machine)
    machine.check_records()


def snapshots():
    """Back to a snapshot in the same QEMU, and from it in another one."""
    for store in (Ram, OnBlock):
        with Journey(store, disk=qcow2) as journey:
            machine = journey.machine
            # Which is about migrations only.
            set_capabilities(machine, ['remote-memory'])
            hmp(machine, 'savevm there')
            journey.go_on()
            hmp(machine, 'loadvm there')
            go_on(machine)
            require(machine.quit(), 'QEMU does not quit')
            go_on(journey.make_machine(REMOTE, '-loadvm', 'there'))


def dump():
    """All of the guest's memory is in the dump, and is as it was."""
    with Journey(Ram) as journey:
        path = journey.directory / 'dump'
        journey.machine.qmp.command('dump-guest-memory', paging=False,
                                    protocol=f'file:{path}')
        check_still(from_elf(path))
        journey.go_on()


def dirty_rate():
    """Measured while the guest writes. How much it gets done in that time
    is another matter."""
    with Journey(Ram) as journey:
        for mode in ('page-sampling', 'dirty-bitmap'):
            measure(journey.machine, mode)
            journey.go_on()
        require_error('dirty-ring', journey.machine, 'calc-dirty-rate',
                      mode='dirty-ring', **{'calc-time': 1})


def measure(machine, mode):
    """Measure a dirty rate."""
    samples = {'sample-pages': 4096} if mode == 'page-sampling' else {}
    machine.qmp.command('calc-dirty-rate', mode=mode,
                        **{'calc-time': 1, **samples})
    machine.wait_until(lambda _: machine.qmp.command(
        'query-dirty-rate')['status'] == 'measured', 'a dirty rate')


# --- what is refused -------------------------------------------------------

def require_error(words, machine, command, **arguments):
    """A command must be refused with these words."""
    try:
        machine.qmp.command(command, **arguments)
    except QmpError as error:
        require(words in str(error), f'not the error: {error}')
        return
    raise lib.Failure(f'{command} {arguments} was not refused')


@contextlib.contextmanager
def unharmed():
    """A guest that goes on after what was refused."""
    with Journey(Ram) as journey:
        yield journey
        journey.go_on()


def capability(name, words):
    """A capability that is refused."""
    def check():
        with unharmed() as journey:
            require_error(words, journey.machine, 'migrate-set-capabilities',
                          capabilities=[{'capability': name, 'state': True}])
    return check


def cpr_transfer():
    """The memory would have to be shared with the other QEMU."""
    with unharmed() as journey:
        machine = journey.machine
        machine.qmp.command('migrate-set-parameters', mode='cpr-transfer')
        require_error('not compatible with CPR', machine, 'migrate',
                      channels=[channel(kind, journey.directory / kind)
                                for kind in ('main', 'cpr')])


def channel(kind, path):
    """Something that a migration goes through."""
    return {'channel-type': kind, 'addr': {
        'transport': 'socket', 'type': 'unix', 'path': str(path)}}


def rdma():
    """The network card would have to have all memory pinned."""
    address = f'rdma:127.0.0.1:{lib.free_port()}'
    with unharmed() as journey:
        destination = journey.make_destination()
        for machine, command in ((destination, 'migrate-incoming'),
                                 (journey.machine, 'migrate')):
            require_error('cannot disable RAM discard', machine, command,
                          uri=address)


# --- the rows --------------------------------------------------------------

MODEST = {'multifd-channels': 2}

FRIENDS = [
    Friend('``savevm``, ``loadvm``, ``-loadvm``', WORKS,
           'the pages are in the snapshot, and which of them the guest works '
           'with. A block node that pages are stored on is not one of the '
           'disks of which a snapshot is made',
           snapshots),
    Friend('``migrate`` to ``file:``', WORKS, '', travels(scheme=FILE)),
    Friend('``mapped-ram``', WORKS, '',
           travels('mapped-ram', scheme=FILE)),
    Friend('``mapped-ram`` with ``multifd``', WORKS, '',
           travels('mapped-ram', 'multifd', scheme=FILE, parameters=MODEST)),
    Friend('``mapped-ram`` with ``multifd`` and ``direct-io``', WORKS,
           'pages stay local while the disk has them',
           travels('mapped-ram', 'multifd', scheme=FILE,
                   parameters={**MODEST, 'direct-io': True})),
    Friend('``multifd``', WORKS, '', travels('multifd', parameters=MODEST)),
    Friend('``zero-copy-send``', WORKS,
           'needs ``multifd``, TCP, and a limit of locked memory that allows '
           'for it, as without remote memory', zero_copy),
    Friend('``background-snapshot``', REFUSED,
           'it wants a userfaultfd of its own on memory that has ours. Use '
           '``savevm`` or ``migrate`` to a file',
           capability('background-snapshot', 'not compatible with guest '
                      'memory configuration')),
    Friend('``dump-guest-memory``', WORKS,
           'reads all pages; those that the guest uses stay in the cache', dump),
    Friend('CPR, mode ``cpr-reboot``', WORKS,
           'to a file; the memory is private, so all pages go to the file',
           travels(scheme=FILE, parameters={'mode': 'cpr-reboot'})),
    Friend('CPR, mode ``cpr-transfer``', REFUSED,
           'memory would have to be shared with the new QEMU', cpr_transfer),
    Friend('COLO (``x-colo``)', REFUSED,
           'the other side keeps a second copy of all memory, which no cache '
           'bounds', capability('x-colo', 'COLO')),
    Friend('``x-ignore-shared``', WORKS,
           'remote memory is not shared: it is sent as without',
           travels('x-ignore-shared')),
    Friend('``release-ram``', WORKS,
           'with postcopy: the source gives back what was sent, in the store, '
           'too', travels('release-ram', mode=POSTCOPY)),
    Friend('``xbzrle``', WORKS,
           'its cache has copies of pages, besides ``cache-size``',
           travels('xbzrle', parameters={'xbzrle-cache-size': 4 * MIB})),
    Friend('``auto-converge``', WORKS, '', auto_converge),
    Friend('``calc-dirty-rate``', WORKS,
           '``page-sampling`` fetches the pages that it looks at; '
           '``dirty-bitmap`` none. ``dirty-ring`` needs KVM and was not tried '
           'out', dirty_rate),
    Friend('``postcopy-preempt``', WORKS, '',
           travels('postcopy-preempt', mode=POSTCOPY,
                   stops=(REMOTE, ORDINARY, REMOTE))),
    Friend('``rdma:``', REFUSED,
           'the network card would have to have all memory pinned, on both '
           'sides. A ``remote-store-rdma`` does not need that', rdma),
    Friend('``validate-uuid``', WORKS, '', same_uuid),
]
