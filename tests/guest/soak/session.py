"""From the start of the machine to the end.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import contextlib
import itertools
import json
import random
import time

import lib
import plug
from lib import MIB, STEP_SECONDS, Failure, Machine
from memcached import Memcached
from qmp import QmpClosed, QmpError, QmpTimeout
from soak import ending, jobs, plugging, reading, running, tuning
from soak.operations import OPERATIONS, NotNow, choose
from soak.world import World

SIZE = 384 * MIB
CACHE = SIZE // 4
HOG = '--size=112M,--threads=2,--until-enter'

# How long the guest is left alone after an operation, at most.
REST_SECONDS = 0.06

# A machine that is busy elsewhere is no reason for an error.
TIMEOUT_MS = 60_000

# The modules have registered their operations.
assert len(OPERATIONS) > len([jobs, plugging, reading, running, tuning])


def all_stores(server):
    """Stores that can be used; the one with faults has another behind it."""
    stores = [{'id': 'mc', **server.store(request_timeout_ms=TIMEOUT_MS)},
              {'id': 'ram', 'qom-type': 'remote-store-ram',
               'compress': 'lz4'},
              {'id': 'fault', 'qom-type': 'remote-store-fault',
               'store': {'id': 'behind', 'qom-type': 'remote-store-ram'}}]
    return {store['id']: store for store in stores}


def command_line(stores, seed):
    """The store of the guest's RAM; and for lib.Machine the others, room to
    plug memory in, and devices."""
    first = random.Random(seed).choice(sorted(stores))
    objects = [entry for name, store in stores.items() if name != first
               for entry in lib.store_objects(store, itertools.count())]
    words = [word for entry in objects
             for word in ('-object', json.dumps(entry))]
    devices = ['virtio-balloon,deflate-on-oom=on,free-page-reporting=on',
               'remote-memory-hints,forget=on']
    words += [word for device in devices for word in ('-device', device)]
    return stores[first], [*words, *plug.room(3 * plug.BLOCK)]


class Soak:
    """One soak: seed, time, and what was done."""

    def __init__(self, tap, seed, seconds):
        self.tap = tap
        self.seed = seed
        self.seconds = seconds
        self.done = collections.Counter()
        self.world = None

    def run(self):
        """From the beginning to the end. What fails says all there is."""
        with lib.work_directory() as directory, \
                Memcached(directory) as server:
            stores = all_stores(server)
            first, extra = command_line(stores, self.seed)
            boot = lib.guest_kernel('soak', {'fill': HOG, 'end': 'idle'})
            with Machine(boot, SIZE, CACHE, cpus=2, store=first,
                         extra=extra) as machine:
                self.world = World(machine, stores, directory)
                try:
                    self._operate()
                    self.tap.note(ending.finish(self.world, server))
                except Exception:
                    self._explain()
                    raise
                finally:
                    self._summarize()

    def _operate(self):
        """Operations until time is up. The time begins with the work."""
        world = self.world
        world.command('set-action', reboot='reset')
        world.wait(world.busy, 'the guest gets to work', 2 * STEP_SECONDS)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            world.step += 1
            operation, numbers = choose(self.seed, world.step)
            rest = numbers.random() * REST_SECONDS
            world.pump()
            try:
                operation.run(world, numbers)
            except NotNow:
                continue
            self.done[operation.name] += 1
            time.sleep(rest)

    def _explain(self):
        """The last operations, and where all pages are."""
        note = self.tap.note
        note(f'seed {self.seed}, step {self.world.step}; the last operations:')
        for line in self.world.history:
            note(line)
        with contextlib.suppress(QmpClosed, QmpTimeout, QmpError, Failure):
            for info in self.world.infos().values():
                note(json.dumps(info))

    def _summarize(self):
        """How many operations of each kind there were."""
        parts = [f'{op.name} {self.done[op.name]}' for op in OPERATIONS]
        refused = sum(self.world.refused.values())
        self.tap.note(f'seed {self.seed}: {self.done.total()} operations in '
                      f'{self.world.step} steps, {refused} refused: ' +
                      ', '.join(parts))
