"""What a virtual machine said at a moment.

Backends and stores are dictionaries as query-remote-memory and
query-remote-stores return them; what a QEMU does not have is not in them.
A backend also has "histograms": lists of query-stats by their names.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import typing

LATENCY = 'fault-latency-'
STAGE = 'fault-stage-'

# The worst comes last.
STATUSES = ('connected', 'degraded', 'lost')

JOB_PREFIX = 'remote-memory-'


@dataclasses.dataclass
class Sample:  # pylint: disable=too-many-instance-attributes
    """One VM at one moment."""

    time: float                 # seconds since 1970
    clock: float                # seconds of a clock that nobody sets
    name: str = ''
    address: str = ''
    error: str = ''             # why nothing more is known
    gone: bool = False          # nobody is there to answer
    status: str = ''            # of the VM, such as "running"
    backends: typing.List[dict] = dataclasses.field(default_factory=list)
    stores: typing.List[dict] = dataclasses.field(default_factory=list)
    jobs: typing.List[dict] = dataclasses.field(default_factory=list)

    @property
    def is_up(self):
        """Whether the VM answered."""
        return not self.error

    def backend(self, name):
        """The backend with this id, or None."""
        return next((entry for entry in self.backends
                     if entry['id'] == name), None)

    def store(self, name):
        """The store with this id, or None."""
        return next((entry for entry in self.stores
                     if entry['id'] == name), None)


def latencies(backend):
    """The histograms of faults, by where the page was."""
    return [counts for name, counts in backend.get('histograms', {}).items()
            if name.startswith(LATENCY)]


def attach_histograms(backends, results):
    """Put what query-stats returned where it belongs."""
    for backend in backends:
        backend['histograms'] = {}
    by_id = {backend['id']: backend for backend in backends}
    for result in results:
        backend = by_id.get(result.get('qom-path', '').rpartition('/')[2])
        if backend:
            backend['histograms'] = {
                entry['name']: entry['value'] for entry in result['stats']
                if isinstance(entry['value'], list)}


def attach_backends(jobs, backends):
    """Say of each job at work which backend it is about."""
    for job in jobs:
        job['backend'] = next((backend['id'] for backend in backends
                               if job['id'] in backend.get('jobs', [])), '')
    return jobs


def merge_stores(stores):
    """Stores by their ids. All that backends made for themselves have the
    same one, and come in no particular order: they become one, with the sum
    of their figures and the worst status."""
    merged = {}
    for store in stores:
        if store['id'] in merged:
            _add_store(merged[store['id']], store)
        else:
            merged[store['id']] = dict(store)
    return list(merged.values())


def _add_store(total, store):
    total['status'] = max(total['status'], store['status'],
                          key=STATUSES.index)
    for name in ('pages', 'bytes-read', 'bytes-written', 'errors'):
        total[name] += store[name]
