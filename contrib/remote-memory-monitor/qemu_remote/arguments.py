"""What the command lines of the programs have in common.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse

from . import units

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


def size(text):
    """A number of bytes."""
    try:
        return units.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_common(parser):
    """Options of all programs, and the sockets."""
    parser.epilog = EPILOG
    add_timeout(parser)
    parser.add_argument('sockets', nargs='+', metavar='SOCKET',
                        help='QMP socket of a VM')


def add_timeout(parser):
    """How long to be patient."""
    parser.add_argument('--timeout', type=positive, default=5,
                        metavar='SECONDS',
                        help='how long to wait for a VM (default: 5)')
