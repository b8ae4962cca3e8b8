"""A QEMU that has nothing but a memory backend, and touchers inside of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess

from programs import RUN_SECONDS, build, words_of
from stores import open_store

import lib
from lib import MIB, Failure, require
from qmp import Qmp, QmpClosed, QmpTimeout

SIZE = 1024 * MIB
CACHE = 256 * MIB


def cpus_of(text):
    """The CPUs in a list such as 0,2-3."""
    ranges = [part.split('-') for part in str(text).split(',')]
    return {cpu for ends in ranges
            for cpu in range(int(ends[0]), int(ends[-1]) + 1)}


class TouchedQemu:
    """Started when it is made, stopped when the block ends."""

    def __init__(self, directory, size, cache, store=None, shards=None,
                 pin=None, iothread=None, extra=(), **memory):
        self.size = size
        path = directory / 'toucher'
        threads = [{'qom-type': 'iothread', 'id': f'pager{i}',
                    **(iothread or {})} for i in range(shards or 0)]
        if threads:
            memory['iothreads'] = [thread['id'] for thread in threads]
        arguments = [lib.QEMU, '-machine', 'none', '-nodefaults', '-S',
                     '-no-user-config', '-display', 'none', *extra]
        for thread in threads:
            arguments += ['-object', json.dumps(thread)]
        arguments += lib.remote_ram(size, cache, store, **memory)
        self.log = directory / 'qemu.log'
        self._start(arguments, path, pin)

    def _start(self, arguments, path, pin):
        """Run it, connect to its monitor and to the touchers."""
        def setup():
            if pin is not None:
                os.sched_setaffinity(0, cpus_of(pin))

        environment = {**os.environ, 'LD_PRELOAD': str(build('toucher.so')),
                       'TOUCHER_SOCKET': str(path)}
        mine, peer = socket.socketpair()
        with open(self.log, 'w', encoding='utf-8') as log, peer:
            self.process = lib.spawn(
                [*arguments, '-chardev', f'socket,id=qmp,fd={peer.fileno()}',
                 '-mon', 'chardev=qmp,mode=control'], setup,
                pass_fds=[peer.fileno()], env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.qmp = Qmp(mine)
        except (QmpClosed, QmpTimeout, OSError) as error:
            self.process.kill()
            self.process.wait()
            raise Failure('QEMU does not start: ' +
                          self.log.read_text().strip()) from error
        self.control = socket.socket(socket.AF_UNIX)
        self.control.settimeout(RUN_SECONDS)
        self.control.connect(str(path))
        self.answers = self.control.makefile('r')

    def ask(self, *words):
        """One command to the touchers; see preload.c."""
        self.control.sendall(' '.join(words).encode() + b'\n')
        line = self.answers.readline()
        require(line, f'QEMU ended: {self.log.read_text().strip()}')
        answer = json.loads(line)
        require('error' not in answer,
                f"{' '.join(words)}: {answer.get('error')}")
        return answer

    def memory(self):
        """What query-remote-memory says."""
        return self.qmp.command('query-remote-memory')[0]

    def cpu_seconds(self):
        """Time that all threads have used."""
        stat = pathlib.Path(f'/proc/{self.process.pid}/stat').read_text()
        user, system = stat.rsplit(')', 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')

    def touch(self, **options):
        """Touch, and add what the pager has counted meanwhile, and the time
        that QEMU's threads, touchers included, have used."""
        words = [f'size={self.size}', *words_of(options)]
        fill = self.ask('fill', *words)
        if options.get('warm'):
            self.ask('touch', *words, f"count={options['warm']}", 'warm=0',
                     'seconds=0')
        before, cpu = self.memory(), self.cpu_seconds()
        answer = self.ask('touch', *words, 'warm=0')
        answer.update(fill)
        answer['cpu_seconds'] = self.cpu_seconds() - cpu
        after = self.memory()
        answer['pager'] = {name: after[name] - before[name]
                           for name in after if isinstance(after[name], int)
                           and not name.endswith('-size')}
        require(not answer['wrong'], f"{answer['wrong']} pages were wrong")
        require(not after['errors'], f"{after['errors']} errors of the pager")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.close()
        with contextlib.suppress(QmpClosed, QmpTimeout, OSError):
            self.qmp.command('quit')
        lib.reap(self.process, 60)


def place(pid, cpus):
    """Let all threads of a process run on these CPUs only."""
    for thread in os.listdir(f'/proc/{pid}/task'):
        os.sched_setaffinity(int(thread), cpus)


@contextlib.contextmanager
def touched_qemu(store='ram', size=SIZE, cache=CACHE, server_size=None,
                 store_options=None, **options):
    """A QEMU with a store of its own, by its name in stores.py, that will
    hold server_size bytes."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(lib.work_directory())
        opened = stack.enter_context(
            open_store(store, directory, size, server_size, store_options))
        for pid in opened.pids:
            if 'pin' in options:
                place(pid, cpus_of(options['pin']))
        yield stack.enter_context(
            TouchedQemu(directory, size, cache, opened.properties,
                        extra=opened.blockdevs(), **options))
