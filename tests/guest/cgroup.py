"""A memory limit for a process, by a control group of either version.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import os
import pathlib
import time

from lib import Skip

MOUNT = pathlib.Path('/sys/fs/cgroup')

# Names of the same things in the two versions.
FILES = {1: {'limit': 'memory.limit_in_bytes',
             'peak': 'memory.max_usage_in_bytes',
             'events': 'memory.oom_control'},
         2: {'limit': 'memory.max', 'peak': 'memory.peak',
             'events': 'memory.events'}}


class MemoryGroup:
    """A control group with a limit on memory, removed when the block ends."""

    def __init__(self, limit):
        self.path, version = _make_group(f'rm-guest-{os.getpid()}')
        self.files = FILES[version]
        self.name = f'cgroup v{version}'
        (self.path / self.files['limit']).write_text(str(limit))

    def join(self):
        """Move the calling process into the group."""
        (self.path / 'cgroup.procs').write_text(str(os.getpid()))

    def oom_kills(self):
        """How many processes the kernel has killed for want of memory."""
        lines = (self.path / self.files['events']).read_text().splitlines()
        values = dict(line.split() for line in lines)
        return int(values['oom_kill'])

    def peak(self):
        """Most memory used so far, in bytes, or None where it is not told."""
        with contextlib.suppress(OSError):
            return int((self.path / self.files['peak']).read_text())
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
