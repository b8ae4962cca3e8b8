"""The guest's memory in a dump.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct

from lib import require
from migration.guest import ONE_IN, PAGES

# As in payload.S.
FIRST = 0x100000
FACTOR = 0x9e3779b1

PAGE = struct.Struct('<1024I')
ROUND_BITS = (1 << 32) - 1

ELF_HEADER = struct.Struct('<16sHHIQQQIHHHHHH')
SEGMENT = struct.Struct('<IIQQQQQQ')
LOADED = 1


def segments(dump):
    """What physical memory there is: address, place in the file, size."""
    header = ELF_HEADER.unpack(dump.read(ELF_HEADER.size))
    require(header[0].startswith(b'\x7fELF'), 'not an ELF file')
    start, size, number = header[5], header[9], header[10]
    for index in range(number):
        dump.seek(start + index * size)
        kind, _, place, _, address, length, *_ = SEGMENT.unpack(
            dump.read(SEGMENT.size))
        if kind == LOADED:
            yield address, place, length


def rounds(address, page):
    """Which rounds have written the words of a page."""
    words = PAGE.unpack(page)
    return {(word - (address + 4 * index) * FACTOR) & ROUND_BITS
            for index, word in enumerate(words)}


def check_dump(path):
    """Every page of the guest is there, and was written in one round of the
    last ones; the page that it was at when it stopped may be of two."""
    found = []
    with open(path, 'rb') as dump:
        for address, place, length in segments(dump):
            for number in range(PAGES):
                page = FIRST + 4096 * number
                if address <= page < address + length:
                    dump.seek(place + page - address)
                    found.append(rounds(page, dump.read(PAGE.size)))
    require(len(found) == PAGES, f'{len(found)} pages in the dump')
    require(sum(len(page) > 1 for page in found) <= 1, 'pages are mixed up')
    newest = max(max(page) for page in found)
    require(newest - min(min(page) for page in found) <= ONE_IN,
            'pages are too old')
