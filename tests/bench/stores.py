"""Stores for a QEMU of the benchmark, with the servers and disks behind them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time

from programs import OUT

import lib
from lib import MIB, Skip, require
from memcached import Memcached

IO_URING_SWITCH = pathlib.Path('/proc/sys/kernel/io_uring_disabled')
DEVICES = pathlib.Path('/sys/class/infiniband')


@dataclasses.dataclass
class Store:
    """What a QEMU needs to use it: the properties of an object, or None for
    the backend's own store, and block nodes. Who answers for it."""

    properties: dict | None
    nodes: list = dataclasses.field(default_factory=list)
    pids: list = dataclasses.field(default_factory=list)

    def blockdevs(self):
        """The nodes, on a command line."""
        return [word for node in self.nodes
                for word in ('-blockdev', json.dumps(node))]


def server_mebibytes(size):
    """What a memcached server needs for as much memory of a guest's."""
    return size // MIB * 5 // 4 + 64


# --- servers and disks -----------------------------------------------------

@contextlib.contextmanager
def nbd_server(directory, size):
    """An NBD server with an empty disk in memory; gives its socket and its
    process."""
    program = shutil.which('nbdkit')
    if not program:
        raise Skip('nbdkit is not installed: run scripts/deps bench')
    path = directory / 'nbd'
    process = lib.spawn([program, '--foreground', '--unix', str(path),
                         'memory', f'size={size}'])
    try:
        deadline = time.monotonic() + lib.STEP_SECONDS
        while not path.exists():
            require(process.poll() is None and time.monotonic() < deadline,
                    'nbdkit does not start')
            time.sleep(0.02)
        yield path, process
    finally:
        process.terminate()
        lib.reap(process, 10)


@contextlib.contextmanager
def disk_file(size):
    """A file on a disk, below build/bench; gives its path."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f'store-{os.getpid()}'
    try:
        with open(path, 'xb') as file:
            file.truncate(size)
        yield path
    finally:
        path.unlink(missing_ok=True)


def check_io_uring():
    """Skip if the kernel does not let us use it."""
    with contextlib.suppress(OSError):
        if int(IO_URING_SWITCH.read_text()) > (os.geteuid() == 0):
            raise Skip('io_uring is switched off on this machine')


# --- stores ----------------------------------------------------------------

def _ram(*_):
    """The backend's own."""
    yield Store(None)


def _memcached(directory, _, data):
    with Memcached(directory, server_mebibytes(data)) as server:
        yield Store(server.store(), pids=[server.process.pid])


def _block_nbd(directory, size, _):
    with nbd_server(directory, size) as (path, process):
        yield Store({'qom-type': 'remote-store-block', 'node-name': 'disk'},
                    [{'driver': 'nbd', 'node-name': 'disk',
                      'server': {'type': 'unix', 'path': str(path)}}],
                    [process.pid])


def _block_file(_, size, __):
    """As for a disk: past the page cache, and without threads."""
    check_io_uring()
    with disk_file(size) as path:
        yield Store({'qom-type': 'remote-store-block', 'node-name': 'disk'},
                    [{'driver': 'file', 'node-name': 'disk',
                      'filename': str(path), 'aio': 'io_uring',
                      'cache': {'direct': True}}])


def _crypt(*_):
    yield Store({'qom-type': 'remote-store-crypt', 'store': _ram_object()})


def _stripe(*_):
    yield Store({'qom-type': 'remote-store-stripe',
                 'stores': [_ram_object(), _ram_object()]})


def _mirror_ram(*_):
    yield Store({'qom-type': 'remote-store-mirror',
                 'stores': [_ram_object(), _ram_object()]})


def _mirror(directory, _, data):
    """Two servers."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name in 'ab':
            (directory / name).mkdir()
            servers.append(stack.enter_context(
                Memcached(directory / name, server_mebibytes(data))))
        yield Store({'qom-type': 'remote-store-mirror',
                     'stores': [server.store() for server in servers]},
                    pids=[server.process.pid for server in servers])


def _rdma(*_):
    """Never there: verbs in software take so long that a comparison would say
    nothing of the driver, and a device needs a server on another host."""
    names = DEVICES.is_dir() and sorted(path.name for path in
                                        DEVICES.iterdir())
    devices = [name for name in names or () if not name.startswith('rxe')]
    if devices:
        raise Skip(f'device {devices[0]} has to be measured by hand, with a '
                   'server on another host')
    raise Skip('this machine has no RDMA device')


def _ram_object():
    return {'qom-type': 'remote-store-ram'}


STORES = {
    'ram': _ram,
    'memcached': _memcached,
    'block-nbd': _block_nbd,
    'block-file': _block_file,
    'rdma': _rdma,
    'crypt': _crypt,
    'stripe': _stripe,
    'mirror': _mirror,
    'mirror-ram': _mirror_ram,
}


@contextlib.contextmanager
def open_store(name, directory, size, data=None, options=None):
    """A store for a backend of a size, which will hold as much data; options
    are properties of the object."""
    require(name in STORES, f'{name}: stores are {" ".join(STORES)}')
    with contextlib.contextmanager(STORES[name])(
            directory, size, data or size) as store:
        if options:
            store.properties = {**(store.properties or _ram_object()),
                                **options}
        yield store
