"""The memory of a machine, and the stores that it can be on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import json
import os

from lib import Machine
from memcached import Memcached
from migration.guest import CACHE, SIZE

# Behind the pages is noted who has them.
MARKS = 2 * 4096

REMOTE, ORDINARY = 'remote', 'ordinary'


class Ram(contextlib.ExitStack):
    """Memory of each QEMU's own."""
    title = 'ram'
    is_shared = False

    def __init__(self, _):
        super().__init__()

    def store(self, _):
        """The store of a side with this number."""
        return {'qom-type': 'remote-store-ram'}

    def arguments(self, _):
        """What QEMU needs to be told besides."""
        return []


class OnMemcached(Ram):
    """One server, on which each side has its own pages."""
    title = 'memcached'
    is_shared = True

    def __init__(self, directory):
        super().__init__(directory)
        self.server = self.enter_context(Memcached(directory))

    def store(self, _):
        return self.server.store()


class OnStripe(Ram):
    """Two servers, each with its share of the pages."""
    title = 'stripe on memcached'
    is_shared = True
    kind = 'remote-store-stripe'

    def __init__(self, directory):
        super().__init__(directory)
        self.servers = []
        for name in ('first', 'second'):
            (directory / name).mkdir()
            self.servers.append(self.enter_context(
                Memcached(directory / name)))

    def store(self, number):
        return {'qom-type': self.kind,
                'stores': [server.store() for server in self.servers]}


class OnMirror(OnStripe):
    """Two servers, each with all pages."""
    title = 'mirror on memcached'
    kind = 'remote-store-mirror'


class OnBlock(Ram):
    """Files: one for each side, or one for all if pages are handed over."""
    title = 'block'
    is_shared = True

    def __init__(self, directory):
        super().__init__(directory)
        self.directory = directory

    def store(self, _):
        return {'qom-type': 'remote-store-block', 'node-name': 'pages'}

    def arguments(self, number):
        path = self.directory / f'pages{number}'
        if not path.exists():
            path.touch()
            os.truncate(path, SIZE + MARKS)
        # Two processes may use it, if pages are handed over.
        node = {'driver': 'file', 'node-name': 'pages', 'filename': str(path),
                'locking': 'off', 'cache': {'direct': number == 0}}
        return ['-blockdev', json.dumps(node)]


class OnCrypt(OnMemcached):
    """The same as OnMemcached, encrypted."""
    title = 'crypt on memcached'

    def store(self, number):
        return {'qom-type': 'remote-store-crypt',
                'store': super().store(number)}


STORES = [Ram, OnMemcached, OnBlock]

# What stands on others.
FILTERS = [OnCrypt, OnStripe, OnMirror]


def make_side(boot, memory, store, number, extra=(), **options):
    """A machine for the guest, with memory of a kind."""
    if memory is ORDINARY:
        return Machine(boot, SIZE, plain=True, extra=extra, **options)
    return Machine(boot, SIZE, CACHE, store.store(number),
                   extra=[*extra, *store.arguments(number)], **options)
