"""Memory that is plugged into a machine while it runs, and pulled again.

A machine needs room for it: plug.room() on its command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import itertools
import time

import lib
from lib import MIB, STEP_SECONDS, require
from qmp import QmpError, QmpTimeout

# What a guest plugs and pulls as a whole.
BLOCK = 128 * MIB

# A guest that cannot do without some page at the moment is asked again, as an
# operator would.
PATIENCE_SECONDS = 1

# How much is read from a guest at a time.
CHUNK = 16 * MIB


def room(size, slots=4):
    """Command line for that much more memory than at the start, of
    lib.Machine."""
    return ['-m', f'slots={slots},maxmem={4096 * MIB + size}']


class Plug:
    """A memory backend and the device that brings it to the guest. The store
    is the id of one that stays, or a dictionary as for lib.remote_ram() of
    one that comes and goes with it; or None for the backend's own."""

    numbers = itertools.count()

    def __init__(self, machine, name, size, cache, store=None, **properties):
        self.machine = machine
        self.name = name
        self.size = size
        self.cache = cache
        self.store = store
        self.properties = properties
        self.objects = []

    def plug(self, **properties):
        """Make the backend, its store and the device."""
        self._add_backend()
        self.machine.qmp.command('device_add', id=self.device(),
                                 memdev=self.name,
                                 **self._device_properties(), **properties)

    def pull(self):
        """Let the guest do without it; take device, backend and store away."""
        self.unplug()
        self.forget()

    def unplug(self):
        """Take the device away. A guest may refuse for a while."""
        deadline = time.monotonic() + STEP_SECONDS
        while not self._ask_unplug():
            self.machine.console.check()
            require(time.monotonic() < deadline,
                    f'the guest does not let go of {self.name}')

    def forget(self):
        """Delete the backend, and after it the stores that came with it,
        which are in use until they have forgotten all of it."""
        if self.objects:
            self.machine.qmp.command('object-del', id=self.objects.pop())
        while self.objects:
            self.machine.wait_until(lambda _: self._delete_store(),
                                    f'{self.objects[-1]} is free')

    def _delete_store(self):
        try:
            self.machine.qmp.command('object-del', id=self.objects[-1])
        except QmpError as error:
            require('in use' in str(error), str(error))
            return False
        self.objects.pop()
        return True

    def device(self):
        """The device's id."""
        return f'{self.name}-device'

    def info(self):
        """What query-remote-memory says of it."""
        info, = (info for info in
                 self.machine.qmp.command('query-remote-memory')
                 if info['id'] == self.name)
        return info

    def stored(self):
        """How many pages its store has."""
        name = self.info()['store']
        store, = (store for store in
                  self.machine.qmp.command('query-remote-stores')
                  if store['id'] == name)
        return store['pages']

    def address(self):
        """Where the guest sees it."""
        device, = (device['data'] for device in
                   self.machine.qmp.command('query-memory-devices')
                   if device['data'].get('id') == self.device())
        return device.get('addr', device.get('memaddr'))

    def read(self, directory):
        """All of its bytes, in pieces, as a guest would see them."""
        path = directory / 'memory'
        start = self.address()
        for offset in range(0, self.size, CHUNK):
            size = min(CHUNK, self.size - offset)
            self.machine.qmp.command('pmemsave', val=start + offset,
                                     size=size, filename=str(path),
                                     timeout=STEP_SECONDS)
            yield path.read_bytes()
        path.unlink()

    def check(self, evictions=1):
        """What must be true of it while it is in use: the bound holds, and
        pages have been through the store."""
        info = self.info()
        local = lib.local_size(info)
        require(local <= info['cache-size'], f'{local} bytes are local')
        require(info['evicted-pages'] >= evictions,
                f"only {info['evicted-pages']} evictions")
        require(info['fetched-pages'], 'nothing came back from the store')
        require(info['errors'] == 0, f"{info['errors']} errors")
        require(self.machine.qmp.command(
            'qom-get', path=f'/objects/{self.name}',
            property='x-consistent'), 'the records do not agree')
        return info

    def _add_backend(self):
        backend = {'qom-type': 'memory-backend-remote', 'id': self.name,
                   'size': self.size, 'cache-size': self.cache,
                   **self.properties}
        stores = []
        if isinstance(self.store, dict):
            stores = lib.store_objects(self._own(self.store), self.numbers)
            backend['store'] = stores[-1]['id']
        elif self.store:
            backend['store'] = self.store
        for entry in [*stores, backend]:
            self.machine.qmp.command('object-add', **entry)
            self.objects.append(entry['id'])

    def _own(self, store):
        """The same store under names that nobody else has."""
        own = {'id': f'{self.name}-{next(self.numbers)}', **store}
        if 'store' in own:
            own['store'] = self._own(own['store'])
        if 'stores' in own:
            own['stores'] = [self._own(behind) for behind in own['stores']]
        return own

    def _ask_unplug(self):
        """Ask the guest once. Returns whether the device went."""
        qmp = self.machine.qmp
        qmp.command('device_del', id=self.device())
        deadline = time.monotonic() + STEP_SECONDS
        while time.monotonic() < deadline:
            try:
                qmp.wait_event('DEVICE_DELETED', PATIENCE_SECONDS,
                               self._is_ours)
                return True
            except QmpTimeout:
                self.machine.console.check()
            if self._refused():
                return False
        return False

    def _refused(self):
        return any(self.machine.qmp.take_event(name, self._is_ours) is not None
                   for name in ('MEM_UNPLUG_ERROR',
                                'DEVICE_UNPLUG_GUEST_ERROR'))

    def _is_ours(self, data):
        return data.get('device') == self.device()

    def _device_properties(self):
        raise NotImplementedError


class Dimm(Plug):
    """A pc-dimm, for a whole number of the guest's memory blocks."""

    def _device_properties(self):
        return {'driver': 'pc-dimm'}


class VirtioMem(Plug):
    """A virtio-mem device, which gives the guest as much as is asked for."""

    def resize(self, size):
        """Let the guest have that much, and wait until it does."""
        path = f'/machine/peripheral/{self.device()}'
        self.machine.qmp.command('qom-set', path=path,
                                 property='requested-size', value=size)
        self.machine.wait_until(
            lambda _: self.machine.qmp.command(
                'qom-get', path=path, property='size') == size,
            f'{size} bytes of {self.name} are plugged')

    def unplug(self):
        """Nothing may be left in the guest when the device goes."""
        self.resize(0)
        super().unplug()

    def _device_properties(self):
        return {'driver': 'virtio-mem-pci', 'requested-size': self.size}
