"""Samples of measurements, and the rows that are made from them.

A sample is one measurement of one repetition. Repetitions are interleaved:
everything is measured once before anything is measured again, so that what
else the machine does meets all alike. A row compares two medians:

  value          median of its samples
  against_value  the same of what it is compared with; if that is a sum, the
                 sum of the medians, of throughputs what both have one after
                 the other
  ratio          value / against_value: for times, less is better, for rates,
                 more
  spread         smallest and largest ratio of one repetition. Peers are
                 measured one after the other in it; shares of one guest,
                 as in slow-downs, all repetitions of each first
  runs           number of repetitions

A row that averages others has the means of their ratios, in total and by
repetition.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import fnmatch
import json
import operator
import statistics

# What is to be reached: a comparison of the ratio, and its limit.
GOALS = {
    'fault-ram': ('<=', 1.3),
    'fault-memcached': ('<=', 1.2),
    'fault-block-nbd': ('<=', 1.2),
    'fault-block-file': ('<=', 1.2),
    # 1.2 times as long.
    'scan-memcached': ('>=', 0.83),
    'scan-block-nbd': ('>=', 0.83),
    'scan-block-file': ('>=', 0.83),
    'touch25-zram': ('>=', 1.0),
    'touch25-nbd': ('>=', 3),
    'scan25-prefetch': ('>=', 4),
    'scan25-zram': ('>=', 2),
    'random-prefetch': ('>=', 0.95),
    'hints-lists': ('>=', 1.0),
    'slowdown50': ('<=', 1.06),
    'sort12': ('<=', 1.25),
    'size1t': ('<=', 1.1),
    'handover-bytes': ('<=', 1.1),
    'handover-vs-ordinary-bytes': ('>=', 5),
    'handover-downtime': ('<=', 1.0),
    'handover-downtime-precopy': ('<=', 1.0),
}
COMPARISONS = {'<=': operator.le, '>=': operator.ge}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the results.

    Names of samples may contain "*": of all that match, the best one is
    meant, by its median: lowest for times, highest for rates.
    """

    id: str
    what: str
    unit: str = ''
    value: str = ''         # name of a sample
    peer: str = ''          # what it is compared with, in words
    against: tuple = ()     # names of samples, which are added
    serial: bool = False    # throughputs: times are added, not they
    inverse: bool = False   # samples are operations/s, the row is us/operation
    average: tuple = ()     # ids of rows; instead of value and against

    def rates(self):
        """Whether more is better, of its samples."""
        return self.inverse or self.unit.endswith('/s')

    def samples(self):
        """Names of all samples that it needs by itself."""
        return (self.value, *self.against) if self.value else ()


class Samples:
    """What was measured: lists of numbers by name, and distributions."""

    def __init__(self):
        self.values = {}
        self.problems = {}
        self.distributions = {}

    def add(self, name, value):
        """Add a sample."""
        self.values.setdefault(name, []).append(value)

    def add_distribution(self, name, buckets):
        """Add times to a histogram: pairs of lower bound and count."""
        sums = self.distributions.setdefault(name, {})
        for bound, count in buckets:
            sums[bound] = sums.get(bound, 0) + count

    def lack(self, name, problem):
        """Say why there are no samples with this name: a Skip, or what went
        wrong. Those that there are already are worth nothing."""
        self.problems.setdefault(name, problem)
        self.values.pop(name, None)

    def median(self, name):
        """Median of the samples with this name."""
        return statistics.median(self.values[name])

    def find(self, pattern, rates=False):
        """The name that is meant by a pattern, or None."""
        names = fnmatch.filter(self.values, pattern)
        best = max if rates else min
        return best(names, key=self.median, default=None)

    def problem(self, pattern):
        """Why nothing matches a pattern."""
        for name, problem in self.problems.items():
            if fnmatch.fnmatch(name, pattern):
                return problem
        return None

    def save(self, path):
        """Write everything to a file, for plots."""
        path.write_text(json.dumps(
            {'values': self.values,
             'distributions': {name: sorted(sums.items()) for name, sums
                               in self.distributions.items()}}))

    @classmethod
    def load(cls, path):
        """The opposite."""
        data = json.loads(path.read_text())
        samples = cls()
        samples.values = data['values']
        for name, buckets in data['distributions'].items():
            samples.add_distribution(name, buckets)
        return samples


class Lacking(Exception):
    """There are no samples for a row; the cause says why."""


def _series(samples, row):
    """Lists of a row's values, and of those that it is compared with."""
    names = []
    for pattern in row.samples():
        name = samples.find(pattern, row.rates())
        if not name:
            raise Lacking from samples.problem(pattern)
        names.append(name)
    value, *against = [
        [1e6 / sample if row.inverse else sample
         for sample in samples.values[name]] for name in names]
    return value, against


def _serial(rates):
    """The rate of things that are done one after the other."""
    return 1 / sum(1 / rate for rate in rates)


def evaluate_row(samples, row, others):
    """A row as in results.json; others are rows that were evaluated."""
    if row.average:
        return _average(row, others)
    value, against = _series(samples, row)
    result = {'id': row.id, 'what': row.what,
              'value': statistics.median(value), 'unit': row.unit,
              'against': row.peer or None, 'against_value': None,
              'ratio': None, 'spread': None, 'runs': len(value)}
    if against:
        add = _serial if row.serial else sum
        sums = [add(parts) for parts in zip(*against)]
        ratios = [one / other for one, other in zip(value, sums)]
        result['against_value'] = add(map(statistics.median, against))
        result['ratio'] = result['value'] / result['against_value']
        result['spread'] = [min(ratios), max(ratios)]
        result['ratios'] = ratios
    return result


def _average(row, others):
    parts = [others[name] for name in row.average]
    for part in parts:
        if 'ratios' not in part:
            raise Lacking from part.get('problem')
    ratios = [statistics.mean(each)
              for each in zip(*(part['ratios'] for part in parts))]
    ratio = statistics.mean(part['ratio'] for part in parts)
    return {'id': row.id, 'what': row.what, 'value': ratio, 'unit': 'times',
            'against': row.peer, 'against_value': 1, 'ratio': ratio,
            'spread': [min(ratios), max(ratios)], 'runs': len(ratios),
            'ratios': ratios}


def evaluate(samples, rows):
    """All rows in order, those that others are averages of first. One that
    cannot be evaluated has a "problem" instead of numbers."""
    results = {}
    for row in sorted(rows, key=lambda row: bool(row.average)):
        try:
            results[row.id] = evaluate_row(samples, row, results)
        except Lacking as lacking:
            results[row.id] = {'id': row.id, 'what': row.what,
                               'problem': lacking.__cause__}
    return [results[row.id] for row in rows]


def is_reached(result):
    """Whether a row's goal is reached, or None if it has none."""
    if result['id'] not in GOALS or result.get('ratio') is None:
        return None
    comparison, limit = GOALS[result['id']]
    return COMPARISONS[comparison](result['ratio'], limit)


def write_json(path, results):
    """Write the rows that have numbers to a file, as a list."""
    fields = ('id', 'what', 'value', 'unit', 'against', 'against_value',
              'ratio', 'spread', 'runs')
    rows = [{field: result[field] for field in fields}
            for result in results if 'problem' not in result]
    path.write_text(json.dumps(rows, indent=1) + '\n')
