"""Guests of the benchmark: one that runs with little memory on this host by
remote memory, and what a user could do instead.

Each kind runs the same program with the same *share* of its working set
local, from 1 (all of it) downwards. Local memory is meant for all that the
guest has, its kernel included; what is not for the guest's RAM comes on top:

    kind     local memory is           on top of it
    plain    all of it
    remote   the backend's cache       what QEMU uses itself
    zram     the limit of a control    what QEMU uses itself, measured
    file     group, with host swap
    nbd      the guest's RAM,          what the guest's kernel needs, measured:
             made small by a balloon   it cannot be swapped

A guest is set up with all of its memory; the share changes afterwards, while
it runs. So all shares are measured over the same data in the same guest, and
the set-up, which would be slow with little memory, is not measured. Between
measurements a guest is stopped, so that several can be open and take turns
without disturbing each other.

    with open_guest('remote', 'touch', store='memcached') as guest:
        guest.set_share(0.25)
        print(guest.run('touch', seconds=5)['ops_per_s'])
        guest.check()

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'guest'))

# pylint: disable=wrong-import-position
import lib
from cgroup import MemoryGroup
from console import ConsoleError
from hostswap import FileSwap, ZramSwap
from lib import MIB, PAGE, Failure, Machine, Skip, require
from memcached import Memcached
from qmp import QmpClosed, QmpError, QmpTimeout
from stores import nbd_server
from workloads import WORKLOADS, programs

BENCH = lib.ROOT / 'build' / 'bench'
IMAGE = BENCH / 'guest' / 'initramfs.cpio.gz'

# What can go wrong with a guest, apart from Skip.
ERRORS = (Failure, ConsoleError, QmpClosed, QmpError, QmpTimeout)

# RAM of a guest beyond the working set: 180 MiB are the kernel, its reserve
# of free pages, and the files of the guest, which are in memory, too; the
# rest is for page tables and the clients of Redis.
GUEST_EXTRA = 224 * MIB

# Longest set-up: with swap over a network, or a busy machine.
SETUP_SECONDS = 900
RUN_SECONDS = 900

# A store whose pages take that long to come, besides being copied: a network
# of a data centre, with a switch or two.
DISTANT = {'qom-type': 'remote-store-fault', 'delay-us': 50,
           'store': {'qom-type': 'remote-store-ram'}}

# Programs that need Redis; in the guest, what gives hints for it.
REDIS = ('redis', 'lists')
HINTS_LIBRARY = '/bench/redis-lists.so'

# How many seconds a guest may count in one of ours.
CLOCK_ERROR = 1.05


def make_guest():
    """Make the guest, if that has not been done."""
    lib.make_guest(lib.ROOT / 'tests' / 'bench' / 'build-guest')


class Guest:
    """A guest with ordinary memory, and what all kinds have in common."""

    kind = 'plain'

    def __init__(self, program, cpus=1, accel=lib.ACCEL):
        self.program = program
        self.cpus = cpus
        self.accel = accel
        self.size = (program.working_set + GUEST_EXTRA + MIB - 1) // MIB * MIB
        self.share = 1
        self.ready = None           # what the program said after its set-up
        self.machine = None
        self.booted = False
        self.resources = contextlib.ExitStack()

    # What a kind of guest has of its own.

    def _prepare(self):
        """Start what the machine needs; returns arguments for Machine."""
        return {'plain': True}

    def _prepare_guest(self):
        """Have the guest do something before the program starts."""

    def _program_options(self):
        """The program's words when it starts."""
        return self.program.options

    def _set_local(self, local):
        """Change the guest's local memory to so many bytes; None for all."""
        if local is not None:
            raise Failure('ordinary memory is all local')

    def _local(self):
        """Bytes of the guest's RAM that are local now."""
        return resident_ram(self.machine)

    def _counters(self):
        """Numbers of which run() tells the difference."""
        return {}

    # What a user of this module calls.

    def boot(self):
        """Begin to boot. Optional: other guests can boot meanwhile, which
        takes less time than one after the other. Only close() or a block
        ends it."""
        check_programs(self.program)
        with self.resources:
            kernel = lib.guest_kernel('bench', {}, IMAGE)
            self.machine = self.resources.enter_context(
                Machine(kernel, self.size, cpus=self.cpus, accel=self.accel,
                        **self._prepare()))
            self.resources = self.resources.pop_all()

    def wait_booted(self):
        """Wait until it has booted, and let it do nothing from then on."""
        self._expect('GUEST: bench waits', SETUP_SECONDS)
        self._pause()
        self.booted = True

    def close(self):
        """End it, in whatever state it is."""
        self.resources.close()

    def __enter__(self):
        if not self.machine:
            self.boot()
        with self.resources:
            if not self.booted:
                self.wait_booted()
            self._resume()
            self._prepare_guest()
            self._start()
            self.resources = self.resources.pop_all()
        return self

    def __exit__(self, *error):
        self.resources.__exit__(*error)

    def set_share(self, share):
        """Change how much of the working set is local, and wait until it is
        so. What may be local again comes back only when it is touched, so the
        program then goes over its data."""
        local = None
        if share < 1:
            local = int(self.ready['bytes'] * share) // PAGE * PAGE
        self._set_local(local)
        if share > self.share:
            self.check()
        self.share = share
        self.machine.qmp.forget_events()

    def run(self, workload, seconds=5, **options):
        """Measure; returns the program's answer, to which "share",
        "local_bytes" (of the guest's RAM, afterwards) and "counters" (during
        the run, with its warm-up) are added. Options replace those of the
        workload, and stay for later runs; seconds= is for programs that work
        for some time."""
        workload = WORKLOADS[workload]
        require(workload.program == self.program.name,
                f'the guest runs {self.program.name}')
        options = {**workload.options, **options}
        if workload.timed:
            options['seconds'] = seconds
        line = ' '.join(['run'] + [f'{key}={value}'
                                   for key, value in options.items()])
        before, start = self._all_counters(), time.monotonic()
        answer = self._command(line, RUN_SECONDS + seconds)
        after, passed = self._all_counters(), time.monotonic() - start
        # A kernel that was kept from its CPU when it booted counts too fast.
        require(answer.get('seconds', 0) <= passed * CLOCK_ERROR,
                f"the guest counted {answer.get('seconds')} s in {passed:.2f}")
        answer['share'] = self.share
        answer['local_bytes'] = self._local()
        answer['counters'] = {key: after[key] - before[key] for key in after}
        return answer

    def check(self):
        """Have the program verify all of its data; raises if some is wrong."""
        return self._command('check', RUN_SECONDS)

    # How that is done.

    def _start(self):
        """Have the program set up."""
        self._type(f'/bench/{self.program.name} {self._program_options()}')
        match = self._expect(r'READY (\{.*\})\n', SETUP_SECONDS)
        self.ready = json.loads(match[1])
        self._pause()

    def _command(self, line, seconds):
        self._resume()
        self._type(line)
        match = self._expect(r'BENCH (\{.*\})\n', seconds)
        self._pause()
        return json.loads(match[1])

    def _type(self, line):
        self.machine.console.send(line)

    def _expect(self, pattern, seconds):
        return self.machine.console.expect(pattern, seconds)

    def _pause(self):
        self.machine.qmp.command('stop')

    def _resume(self):
        self.machine.qmp.command('cont')

    def _all_counters(self):
        """Also the time that QEMU's threads have computed."""
        path = f'/proc/{self.machine.process.pid}/stat'
        with open(path, encoding='ascii') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        spent = int(fields[11]) + int(fields[12])
        return {**self._counters(),
                'qemu_cpu_seconds': spent / os.sysconf('SC_CLK_TCK')}


class RemoteGuest(Guest):
    """A guest on memory-backend-remote. Its store is "ram", the backend's
    own, or "memcached", a server started for it, or "distant", as if it was
    at the other end of a network. With hints, it has the device, and the
    library for its server is preloaded."""

    kind = 'remote'

    def __init__(self, program, store='ram', prefetch=None, hints=False,
                 backend=None, **common):
        super().__init__(program, **common)
        self.store = store
        self.hints = hints
        self.backend = dict(backend or {})
        if prefetch:
            self.backend['prefetch'] = prefetch

    def _prepare(self):
        store = None
        if self.store == 'memcached':
            directory = self.resources.enter_context(lib.work_directory())
            # Room for all, and for what its tables and slabs take.
            server = self.resources.enter_context(
                Memcached(directory, self.size // MIB * 5 // 4))
            store = server.store()
        elif self.store == 'distant':
            store = DISTANT
        extra = ['-device', 'remote-memory-hints'] if self.hints else []
        return {'plain': False, 'cache': self.size, 'store': store,
                'extra': extra, **self.backend}

    def _program_options(self):
        preload = f' preload={HINTS_LIBRARY}' if self.hints else ''
        return self.program.options + preload

    def set_property(self, name, value):
        """Change a property of the backend while the guest exists."""
        self.machine.qmp.command('qom-set', path='/objects/ram0',
                                 property=name, value=value)

    def set_prefetch(self, mode):
        """Change how neighbours of a page are fetched with it."""
        self.set_property('prefetch', mode)

    def _set_local(self, local):
        size = self.size if local is None else local
        if size != self.machine.memory()['cache-size']:
            self.machine.set_cache(size)
            self.machine.wait_cache(size)

    def _local(self):
        return lib.local_size(self.machine.memory())

    def _counters(self):
        info = self.machine.memory()
        return {key: value for key, value in info.items()
                if isinstance(value, int) and not key.endswith('size')}


class SwapGuest(Guest):
    """A guest with ordinary memory in a control group with a limit, on a host
    that swaps.

    The limit is such that as much of the guest's RAM is resident as is to be
    local. What QEMU itself needs to have resident shows only under pressure:
    most of what it has is used to start a guest, and then swapped out. So the
    limit is adjusted while the program goes over its data, and after a run.

    Linux decides from statistics of the group which pages it looks at when it
    needs some, and renews them every two seconds. Meanwhile it can run out of
    pages to look at, and then kills QEMU, though nearly all of its memory
    could be swapped out. Who reads memory.stat has the statistics renewed; so
    it is read again and again, which gives these guests their best speed.
    Where a process can be made to wait instead of killed, that is done, too.
    How often it had to is in the counters.
    """

    # How much more or less may be resident, and how many times to adjust.
    TOLERANCE = 0.02
    TRIES = 6

    def __init__(self, program, **common):
        super().__init__(program, **common)
        self.group = None
        self.local = None           # bytes of RAM that are to be resident
        self.overhead = None        # bytes that QEMU itself needs
        self.waits = 0

    def _swap(self):
        """The host's swap, as a context."""
        raise NotImplementedError

    def _prepare(self):
        self.resources.enter_context(self._swap())
        self.group = self.resources.enter_context(MemoryGroup(None))
        self.group.wait_instead_of_kill()
        return {'plain': True, 'setup': self.group.join}

    def run(self, *arguments, **options):
        """The same; what QEMU needs may have changed with the workload."""
        answer = super().run(*arguments, **options)
        self._adjust()
        return answer

    def _set_local(self, local):
        self.local = local
        if local is None:
            self.group.set_limit(None)
            return
        if self.overhead is None:
            self.overhead = (sum(self.group.statistics().values()) -
                             resident_ram(self.machine))
        self.group.set_limit(local + self.overhead)
        for _ in range(self.TRIES):
            self._command('check', RUN_SECONDS)
            if self._adjust():
                break

    def _adjust(self):
        """Change the limit if more or less is resident than is to be; returns
        whether it was right."""
        if self.local is None:
            return True
        error = resident_ram(self.machine) - self.local
        if abs(error) <= self.local * self.TOLERANCE:
            return True
        self.overhead -= error
        self.group.set_limit(self.local + self.overhead)
        return False

    def _expect(self, pattern, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = self.machine.console.look(pattern, 0.05)
            if match:
                return match
            self.group.statistics()
            self.waits += self.group.help_waiting()
        raise Failure(f'no "{pattern}" in {seconds} s')

    def _counters(self):
        with open('/proc/vmstat', encoding='ascii') as file:
            values = dict(line.split() for line in file)
        return {'waits': self.waits,
                **{key: int(values[key]) for key in ('pswpin', 'pswpout')}}


class ZramGuest(SwapGuest):
    """The host swaps to compressed memory."""

    kind = 'zram'

    def _swap(self):
        return ZramSwap(self.size)


class FileGuest(SwapGuest):
    """The host swaps to a file below build/bench."""

    kind = 'file'

    def _swap(self):
        BENCH.mkdir(parents=True, exist_ok=True)
        return FileSwap(self.size, BENCH)


class NbdGuest(Guest):
    """A guest with little RAM that swaps to a disk on an NBD server."""

    kind = 'nbd'

    def __init__(self, program, **common):
        super().__init__(program, **common)
        self.kernel = None          # bytes that no program can have

    def _prepare(self):
        directory = self.resources.enter_context(lib.work_directory())
        path, _ = self.resources.enter_context(
            nbd_server(directory, self.size))
        disk = {'driver': 'nbd', 'node-name': 'swap',
                'server': {'type': 'unix', 'path': str(path)}}
        return {'plain': True,
                'extra': ['-blockdev', json.dumps(disk),
                          '-device', 'virtio-blk,drive=swap',
                          '-device', 'virtio-balloon']}

    def _prepare_guest(self):
        self._type('available')
        match = self._expect(r'GUEST: available (\d+)\n', lib.STEP_SECONDS)
        self.kernel = self.size - int(match[1]) * lib.KIB
        self._type('swap_on')
        self._expect('GUEST: ended swap_on', lib.STEP_SECONDS)

    def _set_local(self, local):
        """The balloon takes what is too much. The guest has to run for it."""
        target = self.size if local is None else local + self.kernel
        qmp = self.machine.qmp
        deadline = time.monotonic() + SETUP_SECONDS
        self._resume()
        qmp.command('balloon', value=target)
        while abs(qmp.command('query-balloon')['actual'] - target) >= MIB:
            self.machine.console.check()
            require(time.monotonic() < deadline, 'the balloon does not grow')
            time.sleep(0.1)
        self._pause()

    def _local(self):
        """The RAM that the guest has: what of it was not touched counts."""
        return self.machine.qmp.command('query-balloon')['actual']

    def _counters(self):
        info, = (entry for entry in
                 self.machine.qmp.command('query-blockstats',
                                          query_nodes=False)
                 if entry['qdev'].endswith('virtio-backend'))
        stats = info['stats']
        return {'read_bytes': stats['rd_bytes'],
                'written_bytes': stats['wr_bytes']}


KINDS = {kind.kind: kind for kind in (Guest, RemoteGuest, ZramGuest,
                                      FileGuest, NbdGuest)}


def open_guest(kind, program, quick=False, **options):
    """A guest of a kind with a program: a context manager, which boots it and
    has it set up. Raises Skip if this machine cannot have such a guest.
    Options are those of its class: cpus, accel; store, prefetch, backend."""
    return KINDS[kind](programs(quick)[program], **options)


# --- helpers ---------------------------------------------------------------

def check_programs(program):
    """Skip if a guest with this program lacks what it runs."""
    if program.name in REDIS and not shutil.which('redis-benchmark'):
        raise Skip('Redis is not installed: run scripts/deps bench')


def resident_ram(machine):
    """Bytes of a machine's RAM that are in memory. Zeros that were read and
    never written are not: they are one page, or one huge page, for all."""
    table = machine.qmp.hmp('info ramblock')
    match = re.search(r'^\s*ram0\s.*(0x[0-9a-f]+)\s+rw\b', table, re.MULTILINE)
    require(match, f'no RAM in: {table}')
    start = int(match[1], 16)
    return sum(rss for low, rss in mappings(machine.process.pid)
               if start <= low < start + machine.size)


def mappings(pid):
    """Of all mappings of a process: where it begins, what is in memory."""
    low = None
    with open(f'/proc/{pid}/smaps', encoding='ascii') as file:
        for line in file:
            if match := re.match('([0-9a-f]+)-', line):
                low = int(match[1], 16)
            elif line.startswith('Rss:'):
                yield low, int(line.split()[1]) * lib.KIB
