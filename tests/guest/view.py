"""What the demo shows: a live picture of a guest's memory, and a table that
grows by a line for each phase.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import sys
import time

# Without a terminal: a plain line this often.
PLAIN_SECONDS = 2

# Widest bar: an eye still sees one cell of it move.
WIDEST = 76

# Where the memory is: name, colour (of 256), how it is drawn in UTF-8, ASCII.
KINDS = [('resident', 40, '█', '#'), ('standby', 220, '▓', '+'),
         ('remote', 33, '▒', '-'), ('zero', 240, '·', '.')]

# Terminal control: let long lines end at the edge, or go on below.
NO_WRAP, WRAP = '\x1b[?7l', '\x1b[?7h'

UNITS = ['', 'k', 'M', 'G']
SIZE_UNITS = [('GiB', 1 << 30), ('MiB', 1 << 20), ('KiB', 1 << 10)]

# A rate is over this time: steady enough to be read, short enough to be live.
RATE_SECONDS = 1


def size_text(size):
    """Bytes as an operator writes them: 720 KiB, 7.5 MiB, 128 MiB."""
    unit, scale = next((pair for pair in SIZE_UNITS if size >= pair[1]),
                       SIZE_UNITS[-1])
    digits = 0 if size % scale == 0 or size >= 100 * scale else 1
    return f'{size / scale:.{digits}f} {unit}'


def count_text(count):
    """A number in few digits: 950, 12.3 k, 1.2 M."""
    unit = 0
    while count >= 1000 and unit < len(UNITS) - 1:
        count /= 1000
        unit += 1
    digits = 1 if unit and count < 100 else 0
    return f'{count:.{digits}f} {UNITS[unit]}'.strip()


def split_cells(sizes, cells):
    """Share cells out in proportion; what is there at all gets one."""
    total = sum(sizes) or 1
    shares = [max(size * cells // total, size > 0) for size in sizes]
    shares[shares.index(max(shares))] += cells - sum(shares)
    return shares


class Rates:
    """Counters of query-remote-memory, per second."""

    def __init__(self):
        self.readings = []
        self.values = {}

    def update(self, info):
        """Take the next reading."""
        now = time.monotonic()
        self.readings.append((now, info))
        while len(self.readings) > 2 and self.readings[1][0] < (
                now - RATE_SECONDS):
            self.readings.pop(0)
        start, old = self.readings[0]
        if now > start:
            self.values = {key: (info[key] - old[key]) / (now - start)
                           for key in info if isinstance(info[key], int)}

    def __getitem__(self, key):
        return self.values.get(key, 0)

    def fault_us(self):
        """Average time of a fault, in microseconds, or None."""
        if not self['faults'] or 'fault-time-ns' not in self.values:
            return None
        return self['fault-time-ns'] / self['faults'] / 1000


class View:
    """Draws on a terminal in place; elsewhere, plain lines."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.live = stream.isatty() and os.environ.get('TERM') != 'dumb'
        self.colour = self.live and not os.environ.get('NO_COLOR')
        self.utf8 = (stream.encoding or '').lower().startswith('utf')
        self.drawn = 0
        self.next_plain = 0
        self.start = time.monotonic()
        self.rates = Rates()

    def paint(self, text, code):
        """Text in a colour of 256, or in bold."""
        if not self.colour:
            return text
        style = '1' if code == 'bold' else f'38;5;{code}'
        return f'\x1b[{style}m{text}\x1b[0m'

    def line(self, text=''):
        """A line that stays, above the picture."""
        self.clear()
        print(text, file=self.stream, flush=True)

    def clear(self):
        """Take the picture away."""
        if self.drawn:
            print(f'\x1b[{self.drawn}A\x1b[J', end='', file=self.stream)
            self.drawn = 0

    def show(self, phase, info, guest):
        """Draw or, without a terminal and now and then, print the memory."""
        self.rates.update(info)
        if self.live:
            lines = self._picture(phase, info, guest)
            self.clear()
            # A line that wraps would be two when the picture is taken away.
            print(NO_WRAP + '\n'.join(lines) + WRAP, file=self.stream,
                  flush=True)
            self.drawn = len(lines)
        elif time.monotonic() >= self.next_plain:
            self.next_plain = time.monotonic() + PLAIN_SECONDS
            sizes = ', '.join(self._sizes(info))
            print(f'{self.elapsed():>5} {phase}: {sizes}; '
                  f'{self._activity()}; {guest}', file=self.stream, flush=True)

    def elapsed(self):
        """Time since the start, as minutes and seconds."""
        seconds = int(time.monotonic() - self.start)
        return f'{seconds // 60}:{seconds % 60:02}'

    def _picture(self, phase, info, guest):
        width = min(shutil.get_terminal_size().columns - 4, WIDEST)
        legend = '   '.join(
            self.paint(kind[2 if self.utf8 else 3], kind[1]) + ' ' + text
            for kind, text in zip(KINDS, self._sizes(info)))
        lines = ['', f'  {self.elapsed()}  {self.paint(phase, "bold")}',
                 '  ' + self._bar(info, width),
                 '  ' + self._mark(info, width),
                 '  ' + legend, '  ' + self._activity(), '  ' + guest]
        return [line + '\x1b[K' for line in lines]

    def _sizes(self, info):
        return [f'{kind} {size_text(info[kind + "-size"])}'
                for kind, *_ in KINDS]

    def _bar(self, info, width):
        cells = split_cells([info[f'{kind}-size'] for kind, *_ in KINDS],
                            width)
        return ''.join(
            self.paint((utf8 if self.utf8 else ascii_) * count, colour)
            for (_, colour, utf8, ascii_), count in zip(KINDS, cells))

    def _mark(self, info, width):
        """Under the bar, where the cache ends."""
        place = min(info['cache-size'] * width // info['size'], width - 1)
        text = f'cache {size_text(info["cache-size"])}'
        mark = '▲' if self.utf8 else '^'
        if place + len(text) + 2 > width:
            return ' ' * (place - len(text) - 1) + f'{text} {mark}'
        return ' ' * place + f'{mark} {text}'

    def _activity(self):
        parts = [f'{count_text(self.rates[key])} {name}/s' for key, name in (
            ('faults', 'faults'), ('refaults', 'refaults'),
            ('fetched-pages', 'reads'), ('written-pages', 'writes'))]
        latency = self.rates.fault_us()
        if latency is not None:
            unit = 'µs' if self.utf8 else 'us'
            parts.append(f'{latency:.0f} {unit}/fault')
        return '  '.join(parts)
