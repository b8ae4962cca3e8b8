"""qemu-remote-top: look at virtual machines with remote memory.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys

from . import lines
from .arguments import add_common, positive
from .report import write_report
from .watch import Watch

DESCRIPTION = '''Show where the RAM of virtual machines with remote memory is,
how fast it comes and goes, and how long the guest waits for it.'''


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(prog='qemu-remote-top',
                                     description=DESCRIPTION)
    parser.add_argument('--interval', type=positive, default=1,
                        metavar='SECONDS',
                        help='time between two looks (default: 1)')
    parser.add_argument('--once', action='store_true',
                        help='look twice, with the interval between, print '
                        'that and exit')
    parser.add_argument('--json', action='store_true',
                        help='with --once: print JSON')
    parser.add_argument('--report', metavar='FILE',
                        help='write a page with plots of all that was seen')
    parser.add_argument('--record', type=positive, metavar='SECONDS',
                        help='with --report: no screen, but look for so long')
    add_common(parser)
    options = parser.parse_args(arguments)
    if options.json and not options.once:
        parser.error('--json goes with --once')
    if options.record and not options.report:
        parser.error('--record goes with --report')
    if options.once and options.report:
        parser.error('--once and --report exclude each other')
    if options.report:
        # Better now than after an hour of recording
        try:
            with open(options.report, 'a', encoding='utf-8'):
                pass
        except OSError as error:
            parser.error(f'{options.report}: {error.strerror}')
    return options


async def once(options):
    """Print what happens now. Returns whether every VM answered."""
    watch = Watch(options.sockets, options.timeout)
    await watch.poll()
    await asyncio.sleep(options.interval)
    await watch.poll()
    changes = watch.now()
    if options.json:
        print(json.dumps([change.as_dict() for change in changes.values()],
                         indent=2))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        print('\n\n'.join(lines.plain(change, watch.histories[address], width)
                          for address, change in changes.items()))
    await watch.close()
    if not changes:
        print('qemu-remote-top: there is no VM', file=sys.stderr)
    return bool(changes) and all(change.after.is_up
                                 for change in changes.values())


async def record(options):
    """Look for some time and write the report; also if that is cut short."""
    loop = asyncio.get_running_loop()
    watch = Watch(options.sockets, options.timeout)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    end = loop.time() + options.record
    while True:
        await watch.poll()
        rest = end - loop.time()
        if rest <= 0 or stop.is_set():
            break
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), min(options.interval, rest))
    await watch.close()
    write_report(watch, options.report)


def interactive(options):
    """The screen, and the report after it if there is to be one."""
    try:
        from .terminal import Top  # pylint: disable=import-outside-toplevel
    except ModuleNotFoundError as error:
        sys.exit(f'qemu-remote-top: {error}: install python3-urwid, or use '
                 '--once or --record')
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.exit('qemu-remote-top: the screen needs a terminal; there are '
                 '--once and --record')
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    watch = Watch(options.sockets, options.timeout)
    with contextlib.suppress(KeyboardInterrupt):
        Top(watch, options.interval).run(loop)
    loop.run_until_complete(watch.close())
    if options.report:
        write_report(watch, options.report)


def main(arguments=None):
    """The program."""
    options = parse(arguments)
    try:
        if options.once:
            sys.exit(0 if asyncio.run(once(options)) else 1)
        elif options.record:
            asyncio.run(record(options))
        else:
            interactive(options)
    except OSError as error:
        sys.exit(f'qemu-remote-top: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
