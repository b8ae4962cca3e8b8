#!/usr/bin/env -S python3 -B
"""Measurements on the host, without a guest: the bare mechanism, bare stores,
and the pager of a QEMU whose memory is touched by threads inside of it.

  host.py floor copy|move [NAME=VALUE...]
  host.py store-floor ram|memcached|nbd|file [NAME=VALUE...]
  host.py block-layer nbd|file
  host.py fault [NAME=VALUE...]
  host.py scan [NAME=VALUE...]
  host.py shards [shards=N] [NAME=VALUE...]
  host.py size1t [NAME=VALUE...]

Names for "floor" and "store-floor" are in the --help of build/bench/uffd-floor
and build/bench/store-floor. "fault" takes those about touching, and

  store=NAME             ram, memcached, block-nbd, block-file, crypt and
                         stripe (over ram), mirror (of two memcached),
                         mirror-ram
  size=1G, cache=256M    of the backend; all of it is touched, or set=BYTES
  shards=N               pager threads, each an iothread of its own
  pin=CPUS               of QEMU and the touchers, as 0 or 0,2-3
  memory.NAME=VALUE      any property of memory-backend-remote, as in JSON
  store.NAME=VALUE       any property of the store
  iothread.NAME=VALUE    any property of the iothreads (with shards=)

and touches the whole set in cycles, so that each touch faults unless the pager
knows better. It warms up with as many touches as the cache has pages. "scan"
is the same in order, so that the pager does know.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import contextlib
import json
import os
import re
import sys

from programs import bytes_of, call, run
from stores import disk_file, nbd_server, open_store, server_mebibytes
from touched import CACHE, SIZE, place, touched_qemu

import lib
from lib import MIB, PAGE, Failure, Skip, require
from memcached import Memcached

# Where the two sides of a floor can run; the best one counts.
PLACEMENTS = ('same', 'split', 'spin', 'free')

IMG = str(lib.ROOT / 'build' / 'qemu-img')


# --- floors ----------------------------------------------------------------

def floor(mode, placement='same', **options):
    """The bare mechanism; see uffd-floor.c."""
    warm = 2000 if mode == 'copy' else bytes_of(options.get('cache', '128M'))
    options = {'placement': placement, 'set': '512M',
               'warm': warm if mode == 'copy' else warm // PAGE, **options}
    return run('uffd-floor', mode, options)


@contextlib.contextmanager
def bare_server(store, size):
    """A server of our own for store-floor, which holds size bytes; gives
    options."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(lib.work_directory())
        if store == 'memcached':
            server = stack.enter_context(
                Memcached(directory, server_mebibytes(size)))
            yield {'server': f'unix:{server.path}',
                   'server-pid': server.process.pid}
        elif store == 'nbd':
            path, process = stack.enter_context(nbd_server(directory, size))
            yield {'server': f'unix:{path}', 'server-pid': process.pid}
        elif store == 'file':
            yield {'server': stack.enter_context(disk_file(size))}
        else:
            yield {}


def store_floor(store, op='get', placement='same', **options):
    """A bare store; see store-floor.c. The server is our own."""
    options = {'op': op, 'placement': placement, 'warm': 2000, 'set': '512M',
               **options}
    if 'server' in options:
        return run('store-floor', store, options)
    with bare_server(store, bytes_of(options['set'])) as server:
        return run('store-floor', store, {**server, **options})


def block_layer(store, size=SIZE // 4, count=100000):
    """Reads of a page, one after the other and far apart, by QEMU's block
    layer: what the pager has from it, without the pager."""
    def bench(*options):
        return ['taskset', '-c', cpu, IMG, 'bench', *map(str, options), disk]

    cpu = str(min(os.sched_getaffinity(0)))
    with lib.work_directory() as directory, \
            open_store(f'block-{store}', directory, size) as opened:
        disk = f'json:{json.dumps(opened.nodes[0])}'
        for pid in opened.pids:
            place(pid, {int(cpu)})
        # What was never written might be read without looking.
        call(bench('-w', '-s', 64 * PAGE, '-c', size // (64 * PAGE)))
        said = call(bench('-d', 1, '-s', PAGE, '-S', 257 * PAGE, '-c', count))
    seconds = float(re.search(r'completed in ([0-9.]+) s', said)[1])
    return {'seconds': seconds,
            'all': {'count': count, 'mean': seconds / count * 1e9}}


# --- the pager -------------------------------------------------------------

def fault(store='ram', size=SIZE, cache=CACHE, touch=None, **options):
    """Demand faults: a cycle through all of a backend's memory, whose cache
    is full and evicts. The counters are QEMU's, the times the touchers'."""
    touch = {'set': size, 'count': 100000, 'warm': cache // PAGE,
             **(touch or {})}
    with touched_qemu(store, size, cache, server_size=bytes_of(touch['set']),
                      **options) as qemu:
        return qemu.touch(**touch)


def scan(store='ram', size=SIZE, cache=CACHE, touch=None, **options):
    """The same in order, a word of each page: throughput."""
    touch = {'pattern': 'sequential', 'check': 'word', **(touch or {})}
    return fault(store, size, cache, touch, **options)


def stripe_of(qemu, number):
    """How much memory lies together in one shard. Shards have it in turn, or
    a toucher could not keep to one of them."""
    stripes = qemu.ask('stripes', f'size={qemu.size}')['stripes']
    require(all(stripe[2] == stripes[i % number][2]
                for i, stripe in enumerate(stripes)) and
            len(set(stripe[2] for stripe in stripes)) == number,
            f'stripes are not dealt to {number} shards in turn')
    return stripes[0][1]


def shards(number, store='ram', size=SIZE, cache=CACHE, touch=None, **options):
    """As many pager threads and touchers, each toucher in one shard."""
    touch = {'set': size, 'threads': number, 'warm': cache // PAGE // number,
             'count': 100000, **(touch or {})}
    with touched_qemu(store, size, cache, shards=number, **options) as qemu:
        return qemu.touch(chunk=stripe_of(qemu, number), **touch)


def size1t(size=1024 * 1024 * MIB, cache=CACHE, touch=None, **options):
    """A working set of 1 GiB, spread in pieces of 2 MiB over a backend of
    1 TiB; the dense one is fault() with a backend of 1 GiB."""
    touch = {'set': SIZE, 'chunk': 2 * MIB, 'span': size, **(touch or {})}
    return fault(size=size, cache=cache, touch=touch, **options)


# --- by hand ---------------------------------------------------------------

def summary(answer):
    """A few lines about an answer."""
    lines = []
    for name in ('faults', 'hits', 'all'):
        if name in answer:
            times = answer[name]
            lines.append(f"{name:7s} {times['count']:8d}  " + '  '.join(
                f"{key} {times[key] / 1000:.2f}" for key in
                ('p50', 'p90', 'p99', 'p999', 'mean', 'max')
                if key in times) + ' us')
    count = max(answer['all']['count'], 1)
    rest = {key: value for key, value in answer.items()
            if key not in ('faults', 'hits', 'all', 'pager')}
    if 'cpu_seconds' in rest:
        rest['cpu_us_per_touch'] = round(rest['cpu_seconds'] / count * 1e6, 2)
    rest['touches_per_second'] = round(count / answer['seconds'])
    rest['mb_per_s'] = round(count * PAGE / 1e6 / answer['seconds'])
    lines.append('  '.join(f'{key} {value}' for key, value in rest.items()))
    if 'pager' in answer:
        lines.append('pager   ' + '  '.join(
            f'{key} {value}' for key, value in answer['pager'].items()
            if value))
    return '\n'.join(lines)


def _split_options(words):
    """Options for fault() from words NAME=VALUE."""
    groups = {'memory.': {}, 'store.': {}, 'iothread.': {}, '': {}}
    for word in words:
        name, equals, value = word.partition('=')
        require(equals, f'{word} is not NAME=VALUE')
        prefix = next(group for group in groups if name.startswith(group))
        groups[prefix][name[len(prefix):]] = value
    touch = groups['']
    options = {name: touch.pop(name) for name in
               ('store', 'size', 'cache', 'shards', 'pin') if name in touch}
    for name in ('size', 'cache', 'shards'):
        if name in options:
            options[name] = bytes_of(options[name])
    options.update(_values(groups['memory.']))
    options['store_options'] = _values(groups['store.'])
    options['iothread'] = _values(groups['iothread.'])
    return {**options, 'touch': touch}


def _values(properties):
    """Properties whose values are JSON, or else text."""
    result = {}
    for name, value in properties.items():
        try:
            result[name] = json.loads(value)
        except ValueError:
            result[name] = value
    return result


def by_hand(command, words):
    """Run what the command line asks for."""
    if command in ('floor', 'store-floor'):
        options = dict(word.split('=', 1) for word in words[1:])
        return (floor if command == 'floor' else store_floor)(words[0],
                                                              **options)
    if command == 'block-layer':
        return block_layer(*words)
    options = _split_options(words)
    if command == 'shards':
        return shards(options.pop('shards', 1), **options)
    commands = {'fault': fault, 'scan': scan, 'size1t': size1t}
    require(command in commands, f'{command} is unknown')
    return commands[command](**options)


def main():
    """See the head of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('SPDX')[0],
        formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--runs', type=int, default=1, help='repeat')
    parser.add_argument('--json', action='store_true',
                        help='print all that was measured, as JSON')
    parser.add_argument('command')
    parser.add_argument('words', nargs='*', metavar='NAME=VALUE')
    arguments = parser.parse_args()
    for _ in range(arguments.runs):
        answer = by_hand(arguments.command, arguments.words)
        print(json.dumps(answer) if arguments.json else summary(answer),
              flush=True)


if __name__ == '__main__':
    try:
        main()
    except (Failure, Skip) as problem:
        sys.exit(f'host.py: {problem}')
