"""Charts as SVG, written by hand: axes, lines, a legend.

A figure has one or more charts side by side. Colours can be told apart with
any kind of colour vision (Okabe and Ito); so that no line is told by colour
alone, lines also have marks or dashes of their own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import html
import math

COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00',
           '#333333')
DASHES = ('', '8 3', '2 2.5', '10 3 2 3', '16 4', '4 2', '12 3 2 3 2 3')

# Of a chart, in pixels: the plot itself, and what is around it.
WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 78, 22, 58, 56
LEGEND_LINE = 19
FONT = 'font-family="Helvetica, Arial, Liberation Sans, sans-serif"'

INK, GREY, GRID = '#222222', '#555555', '#e2e2e2'


def escape(text):
    """Text as it can stand in SVG."""
    return html.escape(str(text), quote=True)


@dataclasses.dataclass
class Axis:
    """A range of values, and what stands beside it. On a scale that a
    function gives, values are where it puts them."""

    label: str
    low: float
    high: float
    ticks: list         # pairs of a value and its text
    scale: object = staticmethod(float)

    def place(self, value):
        """Where a value is, from 0 to 1; what is outside is at the edge."""
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(value) - low) / (high - low)
        return min(max(share, 0), 1)


def short(value):
    """A number for a tick."""
    if value >= 1e6:
        return f'{value / 1e6:g} M'
    return f'{value / 1e3:g} k' if value >= 1e3 else f'{value:g}'


def log_axis(label, values):
    """Powers of ten, and twice and five times those if they are few."""
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1,) if last - first > 4 else (1, 2, 5)
    marks = [step * 10.0 ** power for power in range(first, last + 1)
             for step in steps]
    below = max((mark for mark in marks if mark <= low), default=marks[0])
    above = min((mark for mark in marks if mark >= high), default=marks[-1])
    if above == below:
        above = marks[marks.index(below) + 1]
    return Axis(label, below, above,
                [(mark, short(mark)) for mark in marks
                 if below <= mark <= above], math.log10)


def linear_axis(label, low, high):
    """Four to eight steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10)
                if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(label, first * step, last * step,
                [(i * step, f'{round(i * step, 10):g}')
                 for i in range(first, last + 1)])


@dataclasses.dataclass
class Line:
    """A line of a chart: points are pairs of values."""

    name: str
    points: list
    marks: bool = True


@dataclasses.dataclass
class Chart:
    """Axes and lines."""

    title: str
    x: Axis
    y: Axis
    lines: list

    def _at(self, x, y):
        return (LEFT + WIDTH * self.x.place(x),
                TOP + HEIGHT * (1 - self.y.place(y)))

    def _grid(self):
        bottom, right = TOP + HEIGHT, LEFT + WIDTH
        for value, text in self.x.ticks:
            at = LEFT + WIDTH * self.x.place(value)
            yield rule(at, TOP, at, bottom)
            yield words(at, bottom + 19, text, 'middle')
        for value, text in self.y.ticks:
            at = TOP + HEIGHT * (1 - self.y.place(value))
            yield rule(LEFT, at, right, at)
            yield words(LEFT - 8, at + 4.5, text, 'end')
        yield (f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" '
               f'stroke="{GREY}"/>')

    def _labels(self):
        yield words(LEFT, 30, self.title, size=16, weight='bold')
        yield words(LEFT + WIDTH / 2, TOP + HEIGHT + 42, self.x.label,
                    'middle', colour=GREY)
        middle = TOP + HEIGHT / 2
        yield (f'<g transform="rotate(-90 18 {middle})">' +
               words(18, middle, self.y.label, 'middle', colour=GREY) + '</g>')

    def _curves(self):
        for index, line in enumerate(self.lines):
            places = [self._at(*point) for point in line.points]
            path = 'L'.join(f'{x:.1f} {y:.1f}' for x, y in places)
            yield (f'<path d="M{path}" fill="none" stroke-linejoin="round" '
                   f'stroke-width="2.2" {stroke(index, line)}/>')
            if line.marks:
                yield from (mark(index, x, y) for x, y in places)

    def _legend(self):
        top = TOP + HEIGHT + BOTTOM + 8
        for index, line in enumerate(self.lines):
            x = LEFT + index % 2 * WIDTH / 2
            y = top + index // 2 * LEGEND_LINE
            yield (f'<path d="M{x} {y}h30" stroke-width="2.2" '
                   f'{stroke(index, line)}/>')
            if line.marks:
                yield mark(index, x + 15, y)
            yield words(x + 38, y + 4.5, line.name)

    def draw(self):
        """The elements of the chart."""
        return '\n'.join([*self._grid(), *self._labels(), *self._curves(),
                          *self._legend()])

    def height(self):
        """With the legend, which has two columns."""
        return TOP + HEIGHT + BOTTOM + \
            (len(self.lines) + 1) // 2 * LEGEND_LINE + 8


def rule(x1, y1, x2, y2):
    """A line of the grid."""
    return (f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" '
            f'stroke="{GRID}"/>')


def words(x, y, text, anchor='start', colour=INK, size=13, weight='normal'):
    """A line of text."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}" font-weight="{weight}" fill="{colour}">'
            f'{escape(text)}</text>')


def stroke(index, line):
    """How the line with this number looks."""
    dash = '' if line.marks else DASHES[index % len(DASHES)]
    return (f'stroke="{COLOURS[index % len(COLOURS)]}" '
            f'stroke-dasharray="{dash}"')


def mark(index, x, y):
    """What is drawn at a point of the line with this number."""
    shapes = ('M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z',
              'M-4 -4h8v8h-8Z', 'M0 -5.5L5.2 4H-5.2Z',
              'M0 -5.5L5.5 0L0 5.5L-5.5 0Z',
              'M0 5.5L5.2 -4H-5.2Z', 'M-4 -2.5h8v5h-8Z', 'M-2.5 -4h5v8h-5Z')
    return (f'<path transform="translate({x:.1f} {y:.1f})" '
            f'd="{shapes[index % len(shapes)]}" '
            f'fill="{COLOURS[index % len(COLOURS)]}" stroke="white"/>')


def figure(charts):
    """The whole file."""
    across = LEFT + WIDTH + RIGHT
    width = across * len(charts)
    height = max(chart.height() for chart in charts)
    body = '\n'.join(f'<g transform="translate({index * across} 0)">\n'
                     f'{chart.draw()}\n</g>'
                     for index, chart in enumerate(charts))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" {FONT}>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n'
            f'{body}\n</svg>\n')
