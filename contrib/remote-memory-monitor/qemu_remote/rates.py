"""What happened between two samples of a VM.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from . import histogram
from .sample import latencies

# What only grows.
BACKEND_COUNTERS = (
    'faults', 'refaults', 'sampled-refaults', 'zero-fills', 'fetched-pages',
    'received-pages', 'written-pages', 'evicted-pages', 'clean-drops',
    'zero-drops', 'discarded-pages', 'pinned-skips', 'prefetched-pages',
    'prefetch-probes', 'prefetch-hits', 'visited-pages', 'errors',
    'fault-time-ns')
STORE_COUNTERS = ('bytes-read', 'bytes-written', 'errors')

QUANTILES = (('p50', 0.5), ('p90', 0.9), ('p99', 0.99))


def per_second(before, after, seconds, names):
    """Rates of counters; none at all if one of them went down, for then the
    object is another one."""
    names = [name for name in names if name in before and name in after]
    if seconds <= 0 or any(after[name] < before[name] for name in names):
        return {}
    return {name: (after[name] - before[name]) / seconds for name in names}


def quantiles(counts):
    """Times in nanoseconds by the names of QUANTILES, and "count"; empty if
    nothing was counted."""
    if not counts or not sum(counts):
        return {}
    times = {name: histogram.quantile(counts, share)
             for name, share in QUANTILES}
    return {**times, 'count': sum(counts)}


def _latency(before, after):
    """How long the faults between two moments took."""
    old, new = before.get('histograms', {}), after.get('histograms', {})
    changes = {name: histogram.difference(old.get(name, [0] * len(counts)),
                                          counts)
               for name, counts in new.items()}
    if any(change is None for change in changes.values()):
        return {}
    all_faults = histogram.merge(latencies({'histograms': changes}))
    times = {name: quantiles(counts) for name, counts in changes.items()}
    times['fault-latency'] = quantiles(all_faults)
    return {name: entry for name, entry in times.items() if entry}


def _mean_wait(rates):
    """How long a fault waited on average, in ns, or None."""
    faults = rates.get('faults')
    return rates.get('fault-time-ns', 0) / faults if faults else None


def backend_rates(before, after, seconds):
    """What a backend did: "rates" per second, "mean-wait-ns", and
    "latency-ns", which is quantiles by the names of histograms."""
    if not before:
        return {'rates': {}, 'mean-wait-ns': None, 'latency-ns': {}}
    rates = per_second(before, after, seconds, BACKEND_COUNTERS)
    return {'rates': rates, 'mean-wait-ns': _mean_wait(rates),
            'latency-ns': _latency(before, after) if rates else {}}


def store_rates(before, after, seconds):
    """What a store did: "rates" per second."""
    return {'rates': per_second(before, after, seconds, STORE_COUNTERS)
            if before else {}}


class Change:
    """Two samples of one VM; the earlier one may be None."""

    def __init__(self, before, after):
        self.before = before if before and before.is_up else None
        self.after = after
        self.seconds = after.clock - before.clock if before else 0

    def backend(self, name):
        """What the backend with this id did."""
        before = self.before.backend(name) if self.before else None
        return backend_rates(before, self.after.backend(name), self.seconds)

    def store(self, name):
        """What the store with this id did."""
        before = self.before.store(name) if self.before else None
        return store_rates(before, self.after.store(name), self.seconds)

    def as_dict(self):
        """All that is known, for a script."""
        after = self.after
        return {
            'vm': after.name, 'socket': after.address, 'up': after.is_up,
            'error': after.error or None, 'time': after.time,
            'status': after.status or None,
            'backends': [{**entry, **self.backend(entry['id'])}
                         for entry in after.backends],
            'stores': [{**entry, **self.store(entry['id'])}
                       for entry in after.stores],
            'jobs': after.jobs}
