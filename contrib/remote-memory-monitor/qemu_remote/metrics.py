"""Samples as metrics, by the naming rules of Prometheus: base units, which
are in the name, and "_total" for what only grows.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections

from prometheus_client.core import (CounterMetricFamily, GaugeMetricFamily,
                                    HistogramMetricFamily)

from . import estimate
from .sample import LATENCY, STAGE, STATUSES
from .units import PAGE

PREFIX = 'qemu_remote_'

# The name of a metric, the member of query-remote-memory or
# query-remote-stores, what one of these is in the metric's unit, and help
Figure = collections.namedtuple('Figure', 'name member unit help')

MEMORY_GAUGES = (
    Figure('size_bytes', 'size', 1, 'What the guest sees.'),
    Figure('cache_size_bytes', 'cache-size', 1,
           'Target and bound for local memory.'),
    Figure('resident_bytes', 'resident-size', 1,
           'Memory that is local and mapped in the guest.'),
    Figure('standby_bytes', 'standby-size', 1,
           'Memory that was taken out of the guest and is still local.'),
    Figure('in_flight_bytes', 'in-flight-size', 1,
           'Local memory in which pages are being fetched or written again.'),
    Figure('remote_bytes', 'remote-size', 1, 'Memory only in the store.'),
    Figure('zero_bytes', 'zero-size', 1,
           'Memory that is all zeros, and nowhere.'),
    Figure('source_bytes', 'source-size', 1,
           'Memory that the source of a migration still has.'),
    Figure('metadata_bytes', 'metadata-size', 1,
           'Memory reserved for the page map and queues.'),
    Figure('waiting_faults', 'waiting-faults', 1,
           'Page faults that wait at this moment.'),
    Figure('over_limit_pages', 'over-limit-pages', 1,
           'Pages granted beyond the cache size, since devices used all.'),
)

MEMORY_COUNTERS = (
    Figure('faults', 'faults', 1, 'Page faults received.'),
    Figure('refaults', 'refaults', 1, 'Page faults served from standby.'),
    Figure('sampled_refaults', 'sampled-refaults', 1,
           'Page faults for the sake of estimates.'),
    Figure('zero_fills', 'zero-fills', 1,
           'Page faults on pages without contents.'),
    Figure('fetched_pages', 'fetched-pages', 1, 'Pages read from the store.'),
    Figure('received_pages', 'received-pages', 1,
           'Pages received from the source of a postcopy migration.'),
    Figure('written_pages', 'written-pages', 1,
           'Pages written to the store.'),
    Figure('evicted_pages', 'evicted-pages', 1,
           'Pages taken out of the guest.'),
    Figure('clean_drops', 'clean-drops', 1,
           'Evicted pages that the store had already.'),
    Figure('zero_drops', 'zero-drops', 1,
           'Evicted pages that were all zeros.'),
    Figure('discarded_pages', 'discarded-pages', 1,
           'Pages that the guest gave back.'),
    Figure('pinned_skips', 'pinned-skips', 1,
           'Attempts to evict a page that a device was using.'),
    Figure('prefetched_pages', 'prefetched-pages', 1,
           'Fetched pages that nobody had asked for yet.'),
    Figure('prefetch_probes', 'prefetch-probes', 1,
           'Prefetched pages that show whether they are used.'),
    Figure('prefetch_hits', 'prefetch-hits', 1,
           'Prefetch probes that were used.'),
    Figure('visited_pages', 'visited-pages', 1,
           'Pages fetched for threads that only pass through memory.'),
    Figure('errors', 'errors', 1, 'Requests to the store that failed.'),
    Figure('fault_wait_seconds', 'fault-time-ns', 1e-9,
           'Time that page faults waited, summed up.'),
)

STORE_GAUGES = (
    Figure('held_bytes', 'pages', PAGE, 'Pages that the store holds.'),
)

STORE_COUNTERS = (
    Figure('read_bytes', 'bytes-read', 1, 'Payload read from the store.'),
    Figure('written_bytes', 'bytes-written', 1,
           'Payload written to the store.'),
    Figure('errors', 'errors', 1, 'Requests that failed.'),
)

STATES = {'state': ('running', 'shrinking', 'error', 'handover'),
          'status': STATUSES}

# Buckets of a histogram that are told apart: below 1 us is fast, above a
# minute is slow.
FIRST_BUCKET, LAST_BUCKET = 10, 36


class Families:
    """Metrics by name, each made when it first has a value."""

    def __init__(self):
        self.families = {}

    def _family(self, kind, name, text, labels):
        if name not in self.families:
            self.families[name] = kind(PREFIX + name, text,
                                       labels=list(labels))
        return self.families[name]

    def gauge(self, name, text, labels, value):
        """Add a value that goes up and down."""
        self._family(GaugeMetricFamily, name, text, labels).add_metric(
            list(labels.values()), value)

    def counter(self, name, text, labels, value):
        """Add a value that only grows; "_total" is appended to the name."""
        self._family(CounterMetricFamily, name, text, labels).add_metric(
            list(labels.values()), value)

    def histogram(self, name, text, labels, counts):
        """Add a log2 histogram of nanoseconds. There is no sum of what was
        counted; the count of all is that of the last bucket."""
        self._family(HistogramMetricFamily, name, text, labels).add_metric(
            list(labels.values()), buckets(counts), sum_value=None)

    def states(self, name, text, labels, current):
        """Add a 1 for the current state, a 0 for each other one. The last word
        of the name is the label."""
        label = name.rpartition('_')[2]
        for state in dict.fromkeys([*STATES[label], current]):
            self.gauge(name, text, {**labels, label: state},
                       int(state == current))


def buckets(counts):
    """Pairs of an upper bound in seconds and how many are within it."""
    pairs = [(repr(2 ** n / 1e9), sum(counts[:n + 1]))
             for n in range(FIRST_BUCKET, LAST_BUCKET + 1)]
    return [*pairs, ('+Inf', sum(counts))]


def _add_figures(add, prefix, figures, labels, entry):
    """Add those figures of an entry that it has."""
    for figure in figures:
        if figure.member in entry:
            add(prefix + figure.name, figure.help, labels,
                entry[figure.member] * figure.unit)


def _add_histograms(families, labels, histograms):
    for name, counts in sorted(histograms.items()):
        if name.startswith(LATENCY):
            families.histogram(
                'memory_fault_latency_seconds',
                'How long page faults wait, by where the page was.',
                {**labels, 'page': name[len(LATENCY):]}, counts)
        elif name.startswith(STAGE):
            families.histogram(
                'memory_fault_stage_seconds',
                'Parts of the wait for a page that has to be fetched.',
                {**labels, 'stage': name[len(STAGE):]}, counts)


def _add_backend(families, name, backend):
    labels = {'vm': name, 'backend': backend['id']}
    families.gauge('memory_info', 'The store that a memory backend uses.',
                   {**labels, 'store': backend['store']}, 1)
    families.states('memory_state', 'What a memory backend is doing.', labels,
                    backend['state'])
    _add_figures(families.gauge, 'memory_', MEMORY_GAUGES, labels, backend)
    _add_figures(families.counter, 'memory_', MEMORY_COUNTERS, labels, backend)
    _add_histograms(families, labels, backend.get('histograms', {}))
    for size, cost in estimate.points(backend):
        families.gauge('memory_estimated_fetches_per_second',
                       'Pages that a cache of some size would fetch.',
                       {**labels, 'cache_size': str(size)}, cost)


def _add_store(families, name, store):
    labels = {'vm': name, 'store': store['id']}
    families.gauge('store_info', 'The type of a store.',
                   {**labels, 'type': store['type']}, 1)
    families.states('store_status', 'Whether a store can be used.', labels,
                    store['status'])
    _add_figures(families.gauge, 'store_', STORE_GAUGES, labels, store)
    _add_figures(families.counter, 'store_', STORE_COUNTERS, labels, store)
    rebuild = store.get('rebuild')
    if rebuild and rebuild['total-progress']:
        families.gauge('store_rebuild_ratio',
                       'How much of a rebuilding is done.', labels,
                       rebuild['current-progress'] /
                       rebuild['total-progress'])


def _add_job(families, name, job):
    if job['total-progress']:
        families.gauge('job_progress_ratio', 'How much of a job is done.',
                       {'vm': name, 'job': job['id'], 'type': job['type'],
                        'backend': job['backend']},
                       job['current-progress'] / job['total-progress'])


def families_of(samples):
    """The metrics of samples, one sample for each VM."""
    families = Families()
    for sample in samples:
        labels = {'vm': sample.name}
        families.gauge('up', 'Whether the VM answers.', labels,
                       int(sample.is_up))
        if not sample.is_up:
            continue
        families.gauge('running', 'Whether the guest runs.', labels,
                       int(sample.status == 'running'))
        for backend in sample.backends:
            _add_backend(families, sample.name, backend)
        for store in sample.stores:
            _add_store(families, sample.name, store)
        for job in sample.jobs:
            _add_job(families, sample.name, job)
    return list(families.families.values())
