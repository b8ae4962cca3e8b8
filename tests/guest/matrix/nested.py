"""A guest in a guest that has what this machine may not have: an RDMA device
with a memory server, or KVM; and a QEMU of its own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import shlex
import socket

import lib
from console import Console
from lib import MIB, STEP_SECONDS, Machine, require
from matrix.faults import FULL
from matrix.leaves import Leaf
from matrix.rdma import CELLS
from matrix.session import CACHE, SIZE, Session, busy_payload
from migration import guest
from payload import boot_from
from qmp import Qmp, QmpClosed, QmpError, QmpTimeout

GUEST = lib.ROOT / 'build' / 'rdma-guest'
HOST_SIZE = 1024 * MIB

# So many QEMUs can be there at a time, each with two serial ports. The first
# four of Linux are those of a PC, whatever there is.
MACHINES = 6
FIRST_PORT = 4
PORTS = FIRST_PORT + 2 * MACHINES

# Guests for a QEMU there: disks. The second has a part of what it would have
# elsewhere.
BUSY, TRAVELLER = '/dev/vda', '/dev/vdb'
PART = 4

# As rdma-tasks has them.
ADDRESS = '10.99.0.1'
DEVICE = 'dummy0'

SERVER = f'{ADDRESS}:7471'

# An Ethernet address that the device has not got.
OTHER_ETHERNET = '02:00:00:00:00:01'

# An emulated CPU of an emulated CPU answers in time.
TIMEOUT_MS = 10000


def boot_guest(task, extra=(), **params):
    """A guest in which others run, that does one task."""
    boot = lib.guest_kernel(task, params, GUEST / 'all.cpio',
                            GUEST / 'vmlinux')
    boot[-1] += f' 8250.nr_uarts={PORTS}'
    return Machine(boot, HOST_SIZE, cpus=2, plain=True, extra=extra)


def traveller(directory):
    """The guest that is migrated."""
    return guest.busy_payload(directory, part=PART)


class Host(contextlib.ExitStack):
    """A guest in which others run. It has serial ports for the monitors and
    the consoles of those, and disks for them, each made in a directory."""

    def __init__(self, task='rdma_shell', disks=(busy_payload, traveller),
                 extra=()):
        super().__init__()
        self.directory = self.enter_context(lib.work_directory())
        extra = list(extra)
        for number, make in enumerate(disks):
            place = self.directory / f'disk{number}'
            place.mkdir()
            extra += boot_from(make(place), 'virtio')
        for first in range(FIRST_PORT, PORTS, 4):
            card = 'pci-serial-4x'
            for number in range(4):
                port = first + number
                extra += ['-chardev', f'socket,id=port{port},server=on,'
                          f'wait=off,path={self.directory}/{port}']
                card += f',chardev{number + 1}=port{port}'
            extra += ['-device', card]
        self.machine = self.enter_context(boot_guest(task, extra))
        self.machine.console.expect('GUEST: listens', STEP_SECONDS)

    def run(self, command):
        """Run a command of its shell."""
        self.machine.console.send(command)
        status = self.machine.console.expect(r'GUEST: returned (\d+)',
                                             STEP_SECONDS)[1]
        require(status == '0', f'{command}: status {status}')

    def connect(self, port):
        """The other end of one of its serial ports."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.directory / str(port)))
        return sock


class Inner(Machine):
    """A machine in that guest, with the methods of any other. Those that are
    there at the same time have other numbers."""
    size, cache, disk, accel = SIZE, CACHE, BUSY, 'tcg'

    # pylint: disable-next=super-init-not-called
    def __init__(self, host, store, number=0, extra=(), **backend):
        port = FIRST_PORT + 2 * number
        self.host = host
        self.name = f'vm{number}'
        self.plain = False
        self.peak_local = 0
        self.process = host.machine.process
        self.arguments = [
            'qemu-system-x86_64', '-L', '/firmware', '-nodefaults',
            '-no-user-config', '-display', 'none', '-no-reboot',
            '-machine', 'pc,memory-backend=ram0', '-accel', self.accel,
            # Firmware of which there is no copy in that guest
            '-global', 'apic-common.vapic=off',
            '-m', str(self.size // MIB),
            *lib.remote_ram(self.size, self.cache, store, **backend),
            *boot_from(self.disk),
            '-chardev', f'serial,id=qmp,path=/dev/ttyS{port}',
            '-mon', 'chardev=qmp,mode=control',
            '-serial', f'/dev/ttyS{port + 1}', *extra]
        qmp = host.connect(port)
        self.console = Console(host.connect(port + 1))
        host.run(f'{shlex.join(self.arguments)} & {self.name}=$!')
        self.qmp = Qmp(qmp, STEP_SECONDS)

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            self._describe()
        self.kill()
        self.qmp.sock.close()
        self.console.close()

    def messages(self):
        """What QEMU said, on the console of the guest that it is in."""
        return '\n'.join(self.host.machine.console.tail())

    def kill(self):
        """End QEMU, if it has not ended."""
        self.host.run(f'kill -9 ${self.name} 2>/dev/null; '
                      f'wait ${self.name}; true')

    def quit(self, seconds=STEP_SECONDS):
        """End QEMU by its monitor; returns whether that worked."""
        with contextlib.suppress(QmpClosed, QmpTimeout, QmpError):
            self.qmp.command('quit')
        self.host.run(f'wait ${self.name}')
        return True


class OnRdma(Leaf):
    """A memory server in that guest."""
    kind = 'remote-store-rdma'
    outcomes = CELLS

    # Less than what the guest needs, and more.
    small, large = '2M', '64M'

    @staticmethod
    def key(fault):
        return fault.name if fault is FULL else Leaf.key(fault)

    def __init__(self, host, fault):
        super().__init__(None, fault)
        self.host = host
        self.size = self.small if fault is FULL else self.large
        self.start()
        self.callback(self.kill)

    def start(self):
        """Start it; it has no pages then. Slabs are small, since it takes
        this CPU long to make one."""
        self.host.run(f'rdma_server {self.size} 256K')

    def kill(self):
        """End it at once."""
        self.host.run('kill -9 $server; wait $server; true')

    def driver(self):
        return {'qom-type': self.kind, 'server': SERVER,
                'request-timeout-ms': TIMEOUT_MS}

    def cut(self, _, begin):
        """A connection ends with the Ethernet address that it was made for,
        and a stopped server accepts no other. To take the link away does not
        do: a device in software cannot make connections ever after."""
        self.host.run(f'kill -STOP $server && ip link set {DEVICE} address '
                      f'{OTHER_ETHERNET}' if begin else 'kill -CONT $server')

    def full(self, *_):
        """From the beginning, and for good."""

    def killed(self, _, begin):
        """It is gone, or back."""
        if begin:
            self.kill()
        else:
            self.start()

    def emptied(self, _, begin):
        """It is gone and back."""
        if begin:
            self.kill()
            self.start()


class NestedSession(Session):
    """A guest in that guest that is busy."""

    def __init__(self, host, row, fault):
        self.host = host
        super().__init__(row, fault)

    def _start(self, row, fault):
        leaf, = row.leaves
        self.leaves = [self.enter_context(leaf(self.host, fault))]
        self.machine = self.enter_context(Inner(self.host,
                                                self.leaves[0].store()))
