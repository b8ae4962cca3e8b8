#!/usr/bin/env -S python3 -B
"""Plots of what was measured. By hand, after a run of the benchmark:

  plot.py [DIRECTORY]       with samples.json; default: build/bench

SPDX-License-Identifier: GPL-2.0-or-later
"""

import math
import pathlib
import sys

from results import Samples
from rows import PEERS, SHARES, SLOWDOWN, THROUGHPUT
from svg import Axis, Chart, Line, figure, linear_axis, log_axis

# In words, for legends.
NAMES = {
    'fault-ram': 'QEMU, in-process store',
    'fault-ram-write': 'the same, writing',
    'fault-memcached': 'QEMU, memcached',
    'floor-copy': 'bare userfaultfd',
    'floor-move': 'bare userfaultfd, evicting',
    'store-get': 'bare libmemcached get',
    'remote': 'remote memory',
    'zram': 'host swap on zram',
    'file': 'host swap on a file',
    'nbd': 'guest swap on NBD',
    'touch': 'Random touch, in-process store',
    'scan': 'Sequential scan, in-process store',
    'sort': 'quicksort',
    'bfs': 'breadth-first search',
    'zipf': 'Zipf access',
    'redis-get': 'Redis GET',
    'redis-set': 'Redis SET',
    'redis-lrange': 'Redis LRANGE',
}
UNITS = {'touch': 'operations/s', 'scan': 'MB/s'}

DISTRIBUTIONS = ('floor-copy-*', 'floor-move-*', 'fault-ram',
                 'fault-ram-write', 'store-get-*', 'fault-memcached')

# A quantile that fewer times exceed is noise.
FEWEST = 5
QUANTILES = (0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def nines(share):
    """A scale on which 90 %, 99 % and 99.9 % are equally far apart."""
    return -math.log10(max(1 - share, 1e-6))


def distribution_points(buckets):
    """How large a share of touches took at most so many us: from the first
    per cent to the last nine that the axis has, or that there are enough
    touches for."""
    total = sum(buckets.values())
    points, below = [], 0
    for bound in sorted(buckets):
        below += buckets[bound]
        share = below / total
        if share > QUANTILES[-1] or total - below < FEWEST:
            break
        if share >= 0.01:
            points.append((bound / 1000, share))
    return [(points[0][0], 0), *points] if points else []


def distribution_chart(samples):
    """Latencies on the host, each in its best placement."""
    lines = []
    for pattern in DISTRIBUTIONS:
        best = samples.find(f'{pattern}.p50')
        if best:
            name = best.rpartition('.')[0]
            points = distribution_points(samples.distributions[name])
            lines.append(Line(NAMES[pattern.removesuffix('-*')], points,
                              marks=False))
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    times = [x for line in lines for x, _ in line.points]
    x = log_axis('time, µs', times)
    y = Axis('share that takes no longer', 0, QUANTILES[-1],
             [(share, f'{share * 100:g} %') for share in QUANTILES], nines)
    return Chart('Page faults and requests to stores', x, y, lines)


def _share_axis():
    ticks = [(share * 100, f'{share * 100:g} %') for share in SHARES.values()]
    return Axis('local memory, share of the working set', 11, 115, ticks,
                math.log2)


def _points(samples, prefix):
    """Medians by share of the working set in per cent."""
    names = {percent: f'{prefix}.{percent}' for percent in SHARES}
    return sorted((SHARES[percent] * 100, samples.median(name))
                  for percent, name in names.items() if name in samples.values)


def throughput_charts(samples):
    """Operations/s or MB/s against the size of the cache."""
    for workload in THROUGHPUT:
        lines = [Line(NAMES[peer], _points(samples, f'{workload}.{peer}'))
                 for peer in PEERS]
        lines = [line for line in lines if len(line.points) > 1]
        if lines:
            values = [y for line in lines for _, y in line.points]
            yield Chart(NAMES[workload], _share_axis(),
                        log_axis(UNITS[workload], values), lines)


def _slowdowns(samples, workload):
    """Times in relation to that with all memory local."""
    points = _points(samples, f'{workload}.remote')
    if not points or points[-1][0] != 100:
        return []
    whole = points[-1][1]
    is_time = workload in ('sort', 'bfs')
    return [(share, value / whole if is_time else whole / value)
            for share, value in points]


def slowdown_chart(samples):
    """Time against the size of the cache."""
    lines = [Line(NAMES[workload], _slowdowns(samples, workload))
             for workload in SLOWDOWN]
    lines = [line for line in lines if len(line.points) > 1]
    if not lines:
        return None
    values = [y for line in lines for _, y in line.points]
    label = 'time, in relation to all memory local'
    y = log_axis(label, values) if max(values) > 4 else \
        linear_axis(label, min(values + [1]), max(values + [1.1]))
    return Chart('Slow-down, in-process store', _share_axis(), y, lines)


def plot_all(samples, directory):
    """Draw what there are samples for."""
    plots = {'latency': [distribution_chart(samples)],
             'throughput': list(throughput_charts(samples)),
             'slowdown': [slowdown_chart(samples)]}
    for name, charts in plots.items():
        path = directory / f'{name}.svg'
        charts = [chart for chart in charts if chart]
        if charts:
            path.write_text(figure(charts))
        else:
            path.unlink(missing_ok=True)


if __name__ == '__main__':
    OUT = pathlib.Path(__file__).resolve().parents[2] / 'build' / 'bench'
    CHOSEN = pathlib.Path(sys.argv[1]) if sys.argv[1:] else OUT
    plot_all(Samples.load(CHOSEN / 'samples.json'), CHOSEN)
