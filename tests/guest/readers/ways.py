"""Ways to read the memory that the guest uses.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import dataclasses
import re
import typing

from lib import PAGE, STEP_SECONDS
from readers.content import FIRST, SIZE
from readers.dump import from_elf, from_kdump
from readers.gdb import Gdb

# What the monitor prints at once, in words of 8 bytes.
PRINTED = 64 * PAGE // 8


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to read.

    read: does so, given the machine and the name of a file that it can use
    stops: whether the VM stands still meanwhile
    """
    name: str
    read: typing.Callable
    stops: bool = False


def pmemsave(machine, path):
    """Physical memory, to a file."""
    machine.qmp.command('pmemsave', val=FIRST, size=SIZE, filename=str(path))
    return path.read_bytes()


def memsave(machine, path):
    """What a vCPU sees; this one has no paging."""
    machine.qmp.command('memsave', val=FIRST, size=SIZE, filename=str(path))
    return path.read_bytes()


def printed(command):
    """What the human monitor prints."""
    def read(machine, _):
        words = []
        for place in range(FIRST, FIRST + SIZE, 8 * PRINTED):
            text = machine.qmp.hmp(f'{command} /{PRINTED}gx {place:#x}')
            words += re.findall(r' 0x([0-9a-f]{16})', text)
        return b''.join(int(word, 16).to_bytes(8, 'little')
                        for word in words)
    return read


def gdb(machine, path):
    """What a debugger sees. The VM is as it was before, afterwards."""
    was = machine.status()
    with debugger(machine, path) as client:
        memory = client.read(FIRST, SIZE)
    if was == 'paused':
        machine.qmp.command('stop')
    return memory


@contextlib.contextmanager
def debugger(machine, path):
    """A debugger. The VM stands still, and goes on when it has left."""
    machine.qmp.hmp(f'gdbserver unix:{path},server=on,wait=off')
    with Gdb(path) as client:
        yield client
        client.detach()
    machine.qmp.hmp('gdbserver none')


def dump(take, **arguments):
    """A dump, until it is complete."""
    def read(machine, path):
        start_dump(machine, path, **arguments)
        if arguments.get('detach'):
            machine.qmp.wait_event('DUMP_COMPLETED', STEP_SECONDS)
        return take(path)
    return read


def start_dump(machine, path, **arguments):
    """A dump; it goes on by itself if it is detached."""
    # Others have said DUMP_COMPLETED.
    machine.qmp.forget_events()
    machine.qmp.command('dump-guest-memory', protocol=f'file:{path}',
                        **{'paging': False, **arguments})


WAYS = [
    Way('pmemsave', pmemsave),
    Way('memsave', memsave),
    Way('x', printed('x')),
    Way('xp', printed('xp')),
    Way('gdb', gdb, stops=True),
    Way('dump', dump(from_elf), stops=True),
    Way('dump, detached', dump(from_elf, detach=True), stops=True),
    Way('dump, kdump-zlib', dump(from_kdump, format='kdump-zlib'),
        stops=True),
    Way('dump, kdump-raw-zlib, detached',
        dump(from_kdump, format='kdump-raw-zlib', detach=True), stops=True),
]
