"""A memory limit for a process, by a control group of either version.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import itertools
import os
import pathlib
import time

from lib import MIB, Failure, Skip

MOUNT = pathlib.Path('/sys/fs/cgroup')

# Names of the same things in the two versions.
FILES = {1: {'limit': 'memory.limit_in_bytes', 'unlimited': '-1',
             'usage': 'memory.usage_in_bytes',
             'kernel': 'memory.kmem.usage_in_bytes',
             'anonymous': 'rss', 'mapped': 'mapped_file',
             'peak': 'memory.max_usage_in_bytes',
             'events': 'memory.oom_control'},
         2: {'limit': 'memory.max', 'unlimited': 'max',
             'usage': 'memory.current', 'kernel': None,
             'anonymous': 'anon', 'mapped': 'file_mapped',
             'peak': 'memory.peak', 'events': 'memory.events'}}

# A limit comes down in steps: the kernel may kill instead of reclaiming when
# it is asked for much more than it finds at once.
STEP = 16 * MIB

NUMBERS = itertools.count()


class MemoryGroup:
    """A control group with a limit on memory, or None for no limit; removed
    when the block ends."""

    def __init__(self, limit):
        name = f'rm-guest-{os.getpid()}-{next(NUMBERS)}'
        self.path, version = _make_group(name)
        self.files = FILES[version]
        self.name = f'cgroup v{version}'
        self._write_limit(limit)

    def _write_limit(self, limit):
        text = self.files['unlimited'] if limit is None else str(limit)
        (self.path / self.files['limit']).write_text(text)

    def set_limit(self, limit):
        """Change the limit; when this returns, no more is in use. The kernel
        says that it is busy when it has found nothing to take back at first
        sight: its statistics are old, and are renewed by reading them."""
        for _ in range(1000):
            usage = self.usage()
            step = limit
            if limit is not None:
                step = max(limit, usage - STEP)
            try:
                self._write_limit(step)
            except OSError:
                self.statistics()
                time.sleep(0.01)
                continue
            if step == limit:
                return
        raise Failure(f'{self.name}: {limit} is not reached, only {usage}')

    def wait_instead_of_kill(self):
        """Have the kernel make a process wait that it would kill for want of
        memory, if it can: help_waiting() has to be called again and again."""
        with contextlib.suppress(OSError):
            (self.path / 'memory.oom_control').write_text('1')

    def help_waiting(self):
        """Let processes go on that wait for memory; returns whether there are
        any. They try again when the limit is raised, and most of the times
        there is no want any more: reclaim had given up too soon."""
        if 'under_oom 1' not in self._read('events'):
            return False
        limit = int(self._read('limit'))
        with contextlib.suppress(OSError):
            self._write_limit(limit + MIB)
            self._write_limit(limit)
        return True

    def _read(self, name):
        return (self.path / self.files[name]).read_text()

    def usage(self):
        """Bytes in use, with cached files."""
        return int(self._read('usage'))

    def statistics(self):
        """Bytes of anonymous memory, of files that are mapped, and of the
        kernel's memory on account of the group."""
        lines = (self.path / 'memory.stat').read_text().splitlines()
        values = {key: int(value)
                  for key, value in (line.split() for line in lines)}
        kernel = (int(self._read('kernel')) if self.files['kernel']
                  else values['kernel'])
        return {'anonymous': values[self.files['anonymous']],
                'mapped': values[self.files['mapped']], 'kernel': kernel}

    def join(self):
        """Move the calling process into the group."""
        (self.path / 'cgroup.procs').write_text(str(os.getpid()))

    def oom_kills(self):
        """How many processes the kernel has killed for want of memory."""
        values = dict(line.split() for line in
                      self._read('events').splitlines())
        return int(values['oom_kill'])

    def peak(self):
        """Most memory used so far, in bytes, or None where it is not told."""
        with contextlib.suppress(OSError):
            return int(self._read('peak'))
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """A group is busy for a moment after its last process has ended."""
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.1)


def _make_group(name):
    """Path and version of a new group with a memory controller."""
    problems = []
    for version, parent in _parents():
        path = parent / name
        try:
            path.mkdir()
        except OSError as error:
            problems.append(f'{path}: {error.strerror}')
            continue
        if (path / FILES[version]['limit']).exists():
            return path, version
        problems.append(f'{parent} has no memory controller to give')
        path.rmdir()
    raise Skip('no memory control group can be made: ' +
               '; '.join(problems or ['none is mounted']))


def _parents():
    """Where a group could be made: version and directory, best first."""
    own = dict(line.split(':', 2)[1:] for line in
               pathlib.Path('/proc/self/cgroup').read_text().splitlines())
    if (MOUNT / 'cgroup.controllers').exists():
        for parent in (MOUNT / own.get('', '/').lstrip('/'), MOUNT):
            with contextlib.suppress(OSError):
                (parent / 'cgroup.subtree_control').write_text('+memory')
            yield 2, parent
    if (MOUNT / 'memory' / FILES[1]['limit']).exists():
        yield 1, MOUNT / 'memory' / own.get('memory', '/').lstrip('/')
        yield 1, MOUNT / 'memory'
