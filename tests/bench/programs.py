"""The benchmark's C programs: compiled when needed, and run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'guest'))

# pylint: disable=wrong-import-position
import lib
from lib import Skip, require

OUT = lib.ROOT / 'build' / 'bench'

# The system's headers may be older than UFFDIO_MOVE.
HEADERS = lib.ROOT / 'build' / 'qemu' / 'linux-headers'

CFLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-pthread',
          f'-I{HEADERS}']
COMMON = ['histogram.c', 'options.c', 'touch-set.c']
PROGRAMS = {
    'uffd-floor': ['uffd-floor.c', 'uffd.c', 'placement.c', 'toucher.c',
                   *COMMON],
    'store-floor': ['store-floor.c', 'bare-memcached.c', 'bare-block.c',
                    'placement.c', *COMMON, '-lmemcached'],
    'toucher.so': ['preload.c', 'ranges.c', 'toucher.c', *COMMON, '-fPIC',
                   '-shared'],
}

# Longest time for one measurement: no verdict, but an end to one that hangs.
RUN_SECONDS = 300

# Status of a program that cannot measure this on this machine.
SKIPPED = 77


def build(name):
    """Compile a program unless it is newer than its sources; its path."""
    program = OUT / name
    newest = max(path.stat().st_mtime for path in
                 [*HERE.glob('*.[ch]'), pathlib.Path(__file__)])
    if not program.exists() or program.stat().st_mtime < newest:
        OUT.mkdir(parents=True, exist_ok=True)
        _compile(name, program)
    return program


def _compile(name, program):
    words = PROGRAMS[name]
    scratch = program.with_suffix(f'.{os.getpid()}')
    done = subprocess.run(['gcc', *CFLAGS, *words, '-o', str(scratch)],
                          cwd=HERE, capture_output=True, text=True,
                          check=False)
    if done.returncode and '-lmemcached' in words and \
            'memcached' in done.stderr:
        raise Skip('libmemcached-dev is not installed: run scripts/deps build')
    require(done.returncode == 0, f'{name}: {done.stderr}')
    scratch.replace(program)


def words_of(options):
    """Options as the programs read them."""
    return [f'{name.replace("_", "-")}={value}'
            for name, value in options.items() if value is not None]


def call(words):
    """Run a program; what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          timeout=RUN_SECONDS)
    if done.returncode == SKIPPED:
        raise Skip(done.stderr.strip())
    require(done.returncode == 0,
            f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def run(name, command, options):
    """Run one of ours; what it prints."""
    return json.loads(call([build(name), command, *words_of(options)]))


def bytes_of(text):
    """A size with a suffix, in bytes."""
    text = str(text)
    if text[-1:].upper() in tuple('KMGT'):
        return int(text[:-1]) << 10 * (1 + 'KMGT'.index(text[-1].upper()))
    return int(text)
