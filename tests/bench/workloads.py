"""What the guests of the benchmark do: the programs of workloads/, their
sizes, and how each is measured.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses

MIB = 1 << 20

# Bytes that a search needs for each vertex of its graph: its row, its parent,
# its level, its place in the queue; and for each end of an edge, a neighbour.
VERTEX_BYTES = 8 + 8 + 1 + 8
NEIGHBOUR_BYTES = 8
EDGE_FACTOR = 16


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of the guest, with the size of its data."""

    name: str
    options: str
    working_set: int


def _sized(name, mebibytes):
    return Program(name, f'size={mebibytes}M', mebibytes * MIB)


def _bfs(scale):
    vertex = VERTEX_BYTES + 2 * EDGE_FACTOR * NEIGHBOUR_BYTES
    return Program('bfs', f'scale={scale} edge-factor={EDGE_FACTOR}',
                   vertex << scale)


def programs(quick=False):
    """All programs by name, quick ones with a quarter of the data."""
    made = [_sized(name, 128 if quick else 512)
            for name in ('touch', 'scan', 'zipf')]
    made += [_sized(name, 64 if quick else 256)
             for name in ('sort', 'sort64', 'redis', 'lists')]
    made.append(_bfs(18 if quick else 20))
    return {program.name: program for program in made}


@dataclasses.dataclass(frozen=True)
class Workload:
    """One way to measure a program: options of its command "run", and what of
    its answer counts. The slow-down of a run against another is the ratio of
    their times for the same work."""

    program: str
    options: dict
    metric: str
    unit: str
    timed: bool = False     # works for as many seconds as it is told

    def slowdown(self, result, reference):
        """How many times longer than in the reference the work takes."""
        if self.unit == 's':
            return result[self.metric] / reference[self.metric]
        return reference[self.metric] / result[self.metric]


def _timed(program, **options):
    return Workload(program, options, 'ops_per_s', '1/s', timed=True)


def _scan(**options):
    return Workload('scan', options, 'mb_per_s', 'MB/s', timed=True)


def _redis(**options):
    return Workload('redis', options, 'ops_per_s', '1/s')


WORKLOADS = {
    'touch': _timed('touch', writes=0),
    'touch-write': _timed('touch', writes=50),
    'scan': _scan(mode='read', order='forward', stride=1),
    'scan-write': _scan(mode='write', order='forward', stride=1),
    'scan-backward': _scan(mode='read', order='backward', stride=1),
    'stride': _scan(mode='read', order='forward', stride=8),
    'zipf': _timed('zipf', writes=10),
    'sort': Workload('sort', {}, 'seconds', 's'),
    'sort64': Workload('sort64', {}, 'seconds', 's'),
    'bfs': Workload('bfs', {'roots': 2}, 'seconds', 's'),
    'redis-get': _redis(command='get', requests=20000),
    'redis-set': _redis(command='set', requests=20000),
    'redis-lrange': _redis(command='lrange', requests=2000),
    'lists': Workload('lists', {'requests': 400}, 'ops_per_s', '1/s'),
}
