"""remote-memory-balance: VMs of a host share a budget of local memory.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
import time

from . import units
from .arguments import EPILOG, add_timeout, positive, size
from .balancer import Balancer, Wish

NAME = 'remote-memory-balance'
DESCRIPTION = '''Share a budget of local memory between the caches of virtual
machines: it goes to where it saves most waiting for pages.'''

WISH = re.compile(r'(.*?):(\w+=[^:=,/]*(?:,\w+=[^:=,/]*)*)')


def wish(text):
    """A socket, and what the user says of its VM."""
    match = WISH.fullmatch(text)
    made = Wish(match[1] if match else text)
    for option in match[2].split(',') if match else []:
        name, _, value = option.partition('=')
        if name not in ('weight', 'floor'):
            raise argparse.ArgumentTypeError(
                f'"{text}": no option "{name}": there are weight and floor')
        try:
            setattr(made, name, (positive if name == 'weight' else
                                 size)(value))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(
                f'"{text}": {name}: {error}') from error
    return made


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(prog=NAME, description=DESCRIPTION,
                                     epilog=EPILOG)
    parser.add_argument('--budget', type=size, required=True, metavar='SIZE',
                        help='local memory of all caches together, such as '
                        '16G')
    parser.add_argument('--interval', type=positive, default=10,
                        metavar='SECONDS',
                        help='time between two rounds (default: 10)')
    parser.add_argument('--once', action='store_true',
                        help='make one round, after one interval, and exit')
    parser.add_argument('--dry-run', action='store_true',
                        help='say what would be done, and do nothing')
    parser.add_argument('--json', action='store_true',
                        help='print a line of JSON for each round')
    add_timeout(parser)
    parser.add_argument('sockets', nargs='+', type=wish,
                        metavar='SOCKET[:weight=N,floor=SIZE]',
                        help='QMP socket of a VM; what it saves counts N-fold '
                        '(default: 1), and it keeps at least SIZE (default: a '
                        'sixteenth of its memory)')
    return parser.parse_args(arguments)


class Report:
    """What is printed."""

    def __init__(self, as_json, dry):
        self.as_json = as_json
        self.dry = dry
        self.said = {}          # the last line about somebody
        self.warned = False

    def show(self, balancer, sizes):
        """A round, with the sizes before it."""
        if self.as_json:
            self._show_json(balancer)
            return
        for name, error in balancer.missing:
            self._say(name, error)
        for entry in balancer.entries.values():
            self._show_entry(entry, sizes.get(entry.key))
        self._show_sum(balancer)

    def _show_json(self, balancer):
        print(json.dumps({
            'time': time.time(), 'budget': balancer.budget,
            'taken': balancer.taken(), 'dry-run': self.dry,
            'backends': [entry.as_dict()
                         for entry in balancer.entries.values()],
            'missing': [{'vm': name, 'error': error}
                        for name, error in balancer.missing]}), flush=True)

    def _show_entry(self, entry, before):
        name = f'{entry.vm} {entry.key[1]}'
        after = entry.target if self.dry else entry.backend['cache-size']
        if entry.note:
            self._say(name, f'{units.size(after)}: {entry.note}')
        elif before is None or after != before:
            old = '' if before in (None, after) else \
                f'{units.size(before)} -> '
            self.said.pop(name, None)
            self._say(name, f'{old}{units.size(after)}, waits '
                      f'{100 * entry.waits:.1f} %')

    def _show_sum(self, balancer):
        over = balancer.taken() > balancer.budget
        if over and not self.warned:
            print(f'{NAME}: {units.size(balancer.taken())} are taken, more '
                  f'than the budget of {units.size(balancer.budget)}',
                  file=sys.stderr, flush=True)
        self.warned = over

    def _say(self, name, text):
        if self.said.get(name) != text:
            self.said[name] = text
            print(f"{time.strftime('%H:%M:%S')} {name}: {text}", flush=True)


async def pause(stop, seconds):
    """Sleep, until a signal comes."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def work(options, balancer, stop):
    """The rounds. Returns whether every VM has answered in the last one."""
    report = Report(options.json, options.dry_run)
    sizes = {}
    await balancer.look()
    while not stop.is_set():
        await pause(stop, options.interval)
        if stop.is_set():
            break
        await balancer.round(options.dry_run)
        report.show(balancer, sizes)
        sizes = {key: entry.backend['cache-size']
                 for key, entry in balancer.entries.items()}
        if options.once:
            break
    return bool(balancer.entries) and not balancer.missing


async def run(options):
    """All of it, until a signal comes: then nothing is begun any more."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    balancer = Balancer(options.budget, options.sockets, options.timeout,
                        options.interval)
    task = loop.create_task(work(options, balancer, stop))

    def end():
        stop.set()
        task.cancel()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        return await task
    except asyncio.CancelledError:
        return not options.once
    finally:
        await balancer.close()


def main(arguments=None):
    """The program."""
    options = parse(arguments)
    try:
        well = asyncio.run(run(options))
    except OSError as error:
        sys.exit(f'{NAME}: {error}')
    sys.exit(0 if well or not options.once else 1)
