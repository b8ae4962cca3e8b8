"""Plots over time as SVG, to stand in a page.

Colours are classes, which the page defines for light and dark. So that no
line is told by colour alone, each has dashes of its own. A table below a plot
is its legend and says its figures in text.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import html
import math
import typing

from .units import PAGE

# In units of the drawing, which is as wide as there is room: the whole, and
# what is around the plot.
WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 76, 14, 12, 34

DASHES = ('', '7 3', '2 3', '9 3 2 3', '14 4', '4 2')

TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
              10800, 21600, 43200, 86400)


@dataclasses.dataclass
class Series:
    """A line or an area; a value of None is a gap."""

    name: str
    style: str              # class of its colour
    values: typing.List[typing.Optional[float]]

    def known(self):
        """The values that there are."""
        return [value for value in self.values if value is not None]


@dataclasses.dataclass
class Plot:  # pylint: disable=too-many-instance-attributes
    """Series over the same places."""

    title: str
    places: typing.List[float]
    series: typing.List[Series]
    text: typing.Callable       # a value for people
    place_text: typing.Callable
    place_ticks: typing.List[float]
    stacked: bool = False
    logarithmic: bool = False
    binary: bool = False        # ticks are powers of 2

    def is_empty(self):
        """Whether there is nothing to draw."""
        return not any(series.known() for series in self.series)


def escape(text):
    """Text as it can stand in a page."""
    return html.escape(str(text), quote=True)


# --- ticks -----------------------------------------------------------------

def time_ticks(seconds):
    """Moments of a recording, at most eight steps of them."""
    step = next((step for step in TIME_STEPS if seconds / step <= 8),
                86400 * math.ceil(seconds / 86400 / 8))
    return [i * step for i in range(int(seconds / step) + 1)]


def time_text(seconds):
    """A moment of a recording, as minutes and seconds, or with hours."""
    seconds = int(seconds)
    hours, minutes, seconds = (seconds // 3600, seconds // 60 % 60,
                               seconds % 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else \
        f'{minutes}:{seconds:02}'


def linear_ticks(top, binary):
    """From 0 to at least top."""
    rough = max(top, 1e-9) / 5
    base = 2 if binary else 10
    power = float(base) ** math.floor(math.log(rough, base))
    step = next(factor * power for factor in (1, 2, 5, 10)
                if factor * power >= rough)
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of ten around what there is."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0 ** power for power in range(first, max(last, first + 1) + 1)]


# --- drawing ---------------------------------------------------------------

class Drawing:  # pylint: disable=too-few-public-methods
    """A plot as SVG."""

    def __init__(self, plot, name):
        self.plot = plot
        self.name = name            # unique in the page
        self.layers = self._stack() if plot.stacked else \
            [series.values for series in plot.series]
        values = [value for layer in self.layers for value in layer
                  if value is not None]
        if plot.logarithmic:
            values = [value for value in values if value > 0] or [1]
            self.ticks = log_ticks(min(values), max(values))
        else:
            top = max(values, default=0) or (PAGE if plot.binary else 1)
            self.ticks = linear_ticks(top, plot.binary)

    def _stack(self):
        """The upper edge of each area."""
        total = [0] * len(self.plot.places)
        edges = []
        for series in self.plot.series:
            total = [None if part is None or height is None
                     else height + part
                     for height, part in zip(total, series.values)]
            edges.append(total)
        return edges

    def _x(self, place):
        first, last = self.plot.places[0], self.plot.places[-1]
        share = (place - first) / ((last - first) or 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def _y(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.plot.logarithmic:
            value, low, high = (math.log10(max(number, low))
                                for number in (value, low, high))
        share = min((value - low) / (high - low), 1)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def _grid(self):
        for value in self.ticks:
            height = self._y(value)
            yield (f'<path class="grid" d="M{LEFT} {height:.1f}'
                   f'H{WIDTH - RIGHT}"/>')
            yield text(LEFT - 8, height + 4, 'end', self.plot.text(value))
        bottom = HEIGHT - BOTTOM
        for place in self.plot.place_ticks:
            across = self._x(place)
            yield f'<path class="grid" d="M{across:.1f} {bottom}v5"/>'
            yield text(across, bottom + 20, 'middle',
                       self.plot.place_text(place))

    def _runs(self, values):
        """Stretches of points without a gap."""
        run = []
        for place, value in zip(self.plot.places, values):
            if value is not None:
                run.append((self._x(place), self._y(value)))
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _lines(self):
        for index, (series, values) in enumerate(zip(self.plot.series,
                                                     self.layers)):
            dash = DASHES[index % len(DASHES)]
            for run in self._runs(values):
                if len(run) == 1:
                    yield (f'<circle class="{series.style} dot" '
                           f'cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" '
                           'r="2.5"/>')
                    continue
                yield (f'<path class="{series.style} line" d="{path(run)}" '
                       f'stroke-dasharray="{dash}"/>')

    def _areas(self):
        """Each from its upper edge to the axis, the highest one first."""
        layers = list(zip(self.plot.series, self.layers))
        for series, values in reversed(layers):
            bottom = HEIGHT - BOTTOM
            for run in self._runs(values):
                yield (f'<path class="{series.style} area" d="{path(run)}'
                       f'V{bottom}H{run[0][0]:.1f}Z"/>')

    def svg(self):
        """The element."""
        marks = self._areas() if self.plot.stacked else self._lines()
        body = '\n'.join([*self._grid(), *marks])
        return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
                f'aria-labelledby="{self.name}-t {self.name}-d">\n'
                f'<title id="{self.name}-t">{escape(self.plot.title)}'
                f'</title>\n<desc id="{self.name}-d">'
                f'{escape(description(self.plot))}</desc>\n{body}\n</svg>')


def text(across, height, anchor, words):
    """Words beside a plot."""
    return (f'<text x="{across:.1f}" y="{height:.1f}" '
            f'text-anchor="{anchor}">{escape(words)}</text>')


def path(points):
    """Straight lines from point to point."""
    return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)


# --- text ------------------------------------------------------------------

def figures(plot, series):
    """The least value, the mean, the largest and the last one, as text."""
    known = series.known()
    if not known:
        return ['-'] * 4
    mean = sum(known) / len(known)
    return [plot.text(value)
            for value in (min(known), mean, max(known), known[-1])]


def description(plot):
    """What can be seen, in words."""
    parts = []
    for series in plot.series:
        least, _, most, last = figures(plot, series)
        parts.append(f'{series.name} between {least} and {most}, '
                     f'{last} at the end')
    return '; '.join(parts) + '.'


def table(plot):
    """The legend with figures."""
    rows = []
    for index, series in enumerate(plot.series):
        dash = '' if plot.stacked else DASHES[index % len(DASHES)]
        kind = 'area' if plot.stacked else 'line'
        shape = '<path d="M0 0h24v12H0Z"' if plot.stacked else \
            '<path d="M0 6h24"'
        key = (f'<svg class="key" viewBox="0 0 24 12" aria-hidden="true">'
               f'{shape} class="{series.style} {kind}" '
               f'stroke-dasharray="{dash}"/></svg>')
        cells = ''.join(f'<td>{escape(words)}</td>'
                        for words in figures(plot, series))
        rows.append(f'<tr><th scope="row">{key} {escape(series.name)}</th>'
                    f'{cells}</tr>')
    heads = ''.join(f'<th scope="col">{words}</th>' for words in
                    ('', 'least', 'mean', 'most', 'last'))
    return (f'<table><thead><tr>{heads}</tr></thead>\n<tbody>' +
            '\n'.join(rows) + '</tbody></table>')


def figure(plot, name):
    """A plot with its title and legend, for a page."""
    body = '<p class="none">nothing was measured</p>' if plot.is_empty() \
        else f'{Drawing(plot, name).svg()}\n{table(plot)}'
    return (f'<figure><figcaption>{escape(plot.title)}</figcaption>\n'
            f'{body}</figure>')
