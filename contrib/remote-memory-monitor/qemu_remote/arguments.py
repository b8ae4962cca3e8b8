"""What the command lines of the programs have in common.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse

EPILOG = '''A socket is a path, unix:PATH, HOST:PORT, a directory with sockets,
or a quoted pattern of paths. QEMU makes one by
-qmp unix:PATH,server=on,wait=off; it serves one client at a time, so give each
program one of its own.'''


def positive(text):
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'"{text}" is no number above 0')
    return value


def add_common(parser):
    """Options of all programs."""
    parser.epilog = EPILOG
    parser.add_argument('--timeout', type=positive, default=5,
                        metavar='SECONDS',
                        help='how long to wait for a VM (default: 5)')
    parser.add_argument('sockets', nargs='+', metavar='SOCKET',
                        help='QMP socket of a VM')
