"""Numbers for people, and sizes that people type.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re

PAGE = 4096
NOTHING = '-'

SIZE_UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')
SIZE = re.compile(r'\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?\s*', re.I)


def three_digits(value):
    """A number with three digits that count, but no fewer than it takes."""
    for bound, places in ((9.995, 2), (99.95, 1)):
        if abs(value) < bound:
            return f'{value:.{places}f}'.rstrip('0').rstrip('.')
    return f'{value:.0f}'


def _scaled(value, factor, units, gap):
    for unit in units[:-1]:
        if abs(value) < factor * 0.9995:
            return three_digits(value) + gap + unit
        value /= factor
    return three_digits(value) + gap + units[-1]


def size(value):
    """A number of bytes."""
    if value is None:
        return NOTHING
    return _scaled(value, 1024, SIZE_UNITS, ' ')


def count(value):
    """A number of things, or of things in a second."""
    if value is None:
        return NOTHING
    return _scaled(value, 1000, ('', 'k', 'M', 'G', 'T'), ' ').rstrip()


def time(nanoseconds):
    """A duration."""
    if nanoseconds is None:
        return NOTHING
    return _scaled(nanoseconds, 1000, ('ns', 'µs', 'ms', 's'), ' ')


def percent(part, whole):
    """A share."""
    return f'{100 * part / whole:.0f} %' if whole else NOTHING


def parse_size(text):
    """Bytes from text such as "64M", "1.5 GiB" or "65536". Raises
    ValueError."""
    match = SIZE.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is no size: write it like 64M or 1.5G')
    power = ' KMGTP'.index(match[2].upper() or ' ')
    return whole_pages(float(match[1]) * 1024 ** power)


def whole_pages(value):
    """The same number of bytes or fewer, as whole pages."""
    return int(value) // PAGE * PAGE


def step(cache, size_of_all, up):
    """The cache a sixteenth larger or smaller: at least by a page, at most as
    large as the memory."""
    change = max(whole_pages(cache / 16), PAGE)
    return min(cache + change, size_of_all) if up else max(cache - change, 0)
