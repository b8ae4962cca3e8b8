"""Swap of this host, turned on for a measurement and off again after it: on
compressed memory (zram) or on a file.

Needs root. The machine's own swap, if it has any, is not touched; ours has a
higher priority. Where swap cannot be turned on, Skip says why.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

from lib import Failure, Skip

CONTROL = pathlib.Path('/sys/class/zram-control')

# What the kernel takes unless it is configured otherwise.
ZRAM_ALGORITHM = 'lzo-rle'

# Ours is used first. The kernel gives its own choices negative priorities.
PRIORITY = 32767

CHUNK = 1 << 20


def tool(*arguments):
    """Run one of the system's tools; returns its complaint, if it has any."""
    program = shutil.which(arguments[0], path=os.environ['PATH'] +
                           ':/usr/sbin:/sbin')
    if not program:
        raise Skip(f'{arguments[0]} is not installed')
    done = subprocess.run([program, *map(str, arguments[1:])], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)
    return done.returncode and (done.stderr.strip() or
                                f'{arguments[0]} failed')


class HostSwap:
    """Swap that is on while the block runs. A page that is swapped out goes
    to whatever swap has the highest priority, so only one is on at a time:
    of a kind, though, there may be several."""

    # Kinds that are on, with how many there are.
    active = {}

    def __init__(self, size):
        self.size = size
        self.resources = contextlib.ExitStack()

    def _make(self):
        """Make what can be swapped to, and have it removed by resources;
        returns its path."""
        raise NotImplementedError

    def __enter__(self):
        others = set(HostSwap.active) - {type(self)}
        if others:
            raise Failure(f'{others} is on, which would be used instead')
        if os.geteuid():
            raise Skip('only root can turn on swap')
        with self.resources:
            path = self._make()
            problem = (tool('mkswap', path) or
                       tool('swapon', '-p', PRIORITY, path))
            if problem:
                raise Skip(f'no swap on {path}: {problem}')
            self.resources.callback(turn_off, path)
            self._count(1)
            self.resources.callback(self._count, -1)
            self.resources = self.resources.pop_all()
        return self

    def __exit__(self, *_):
        self.resources.close()

    def _count(self, change):
        number = HostSwap.active.get(type(self), 0) + change
        HostSwap.active[type(self)] = number
        if not number:
            del HostSwap.active[type(self)]


def turn_off(path):
    """Turn off swap. What is still there comes back to memory."""
    problem = tool('swapoff', path)
    if problem:
        raise Failure(f'swap on {path} stays on: {problem}')


class ZramSwap(HostSwap):
    """Swap on a zram device of our own."""

    def _make(self):
        if not CONTROL.exists():
            with contextlib.suppress(Skip):
                tool('modprobe', 'zram')
        if not CONTROL.exists():
            raise Skip('the kernel has no zram')
        try:
            number = int((CONTROL / 'hot_add').read_text())
        except OSError as error:
            raise Skip(f'no zram device can be added: {error}') from error
        self.resources.callback(self._remove, number)
        device = pathlib.Path(f'/sys/block/zram{number}')
        offered = (device / 'comp_algorithm').read_text()
        if ZRAM_ALGORITHM in offered.replace('[', ' ').split():
            (device / 'comp_algorithm').write_text(ZRAM_ALGORITHM)
        (device / 'disksize').write_text(str(self.size))
        return self._node(device, number)

    def _node(self, device, number):
        """The device's node, which not every /dev makes by itself."""
        path = pathlib.Path(f'/dev/zram{number}')
        if not path.exists():
            major, minor = (device / 'dev').read_text().split(':')
            os.mknod(path, 0o600 | 0o060000, os.makedev(int(major),
                                                        int(minor)))
            self.resources.callback(path.unlink)
        return path

    @staticmethod
    def _remove(number):
        """A device is busy as long as somebody looks at it."""
        for _ in range(100):
            with contextlib.suppress(OSError):
                (CONTROL / 'hot_remove').write_text(str(number))
                return
            time.sleep(0.1)


class FileSwap(HostSwap):
    """Swap on a file in a directory, which should be on a disk."""

    def __init__(self, size, directory):
        super().__init__(size)
        self.path = pathlib.Path(directory) / f'swap-{os.getpid()}'

    def _make(self):
        """Written in full: a file with holes cannot be swapped to."""
        self.resources.callback(self.path.unlink)
        with open(self.path, 'wb', opener=lambda path, flags:
                  os.open(path, flags | os.O_EXCL, 0o600)) as file:
            try:
                for _ in range(0, self.size, CHUNK):
                    file.write(bytes(CHUNK))
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise Skip(f'{self.path}: {error}') from error
        return self.path
