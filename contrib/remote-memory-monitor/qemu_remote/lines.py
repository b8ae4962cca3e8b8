"""A virtual machine as lines of text.

A line is a list of pairs: the name of a colour, or None, and text. It fits
any width that it was made for.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from . import estimate, ram, units
from .sample import JOB_PREFIX

INDENT = '  '
GAP = '   '
BLOCKS = '▁▂▃▄▅▆▇█'

# How wide a bar is that shows how far something has come
BAR = 16

# How bad a state or status is; what is not here is not good.
COLOURS = {'running': 'good', 'connected': 'good', 'shrinking': 'warn',
           'handover': 'warn', 'degraded': 'warn', 'paused': 'warn',
           'concluded': 'good', 'error': 'bad', 'lost': 'bad',
           'io-error': 'bad'}


def colour(state):
    """The colour of a state or status."""
    return COLOURS.get(state, 'warn')


def length(line):
    """How many characters a line has."""
    return sum(len(text) for _, text in line)


def flow(fields, width, indent=INDENT):
    """Lines of fields, which are short lines. None is torn."""
    rows, row = [], [(None, indent)]
    for entry in fields:
        gap = 0 if len(row) == 1 else len(GAP)
        if len(row) > 1 and length(row) + gap + length(entry) > width:
            rows.append(row)
            row, gap = [(None, INDENT)], 0
        row += [(None, ' ' * gap), *entry]
    return [*rows, row]


def field(label, value, attr='value'):
    """A value with a label."""
    return [('label', label + ' '), (attr, value)]


def memory_bar(backend, width):
    """Where the memory is, as a line."""
    sizes = ram.sizes(backend)
    parts = ram.shares([sizes[kind.name] for kind in ram.KINDS], width)
    return [(f'ram {kind.name}', kind.mark * part)
            for kind, part in zip(ram.KINDS, parts) if part]


def legend(backend):
    """What the parts of the bar are."""
    sizes = ram.sizes(backend)
    return [[(f'ram {kind.name}', kind.mark), ('label', f' {kind.name} '),
             ('value', units.size(sizes[kind.name]))]
            for kind in ram.KINDS
            if sizes[kind.name] or kind.name not in ('source', 'in flight')]


def spark(values):
    """A line of small bars, the largest value with the highest one. What is
    None leaves a gap."""
    top = max((value for value in values if value), default=0)
    return ''.join(
        ' ' if value is None else
        BLOCKS[int(value / top * (len(BLOCKS) - 1) + 0.5)] if top else
        BLOCKS[0] for value in values)


def _head(backend, width, selected):
    state = backend.get('state', units.NOTHING)
    cache = f"{units.size(ram.local(backend))} of " \
            f"{units.size(backend['cache-size'])}"
    return flow([
        [('name', backend['id']), (None, '  '), (colour(state), state)],
        field('cache', cache),
        field('size', units.size(backend['size'])),
        field('store', backend.get('store', units.NOTHING))],
        width, '> ' if selected else INDENT)


def _rates(change, width):
    rates = change['rates']
    ahead = rates.get('prefetched-pages')
    fetched = rates.get('fetched-pages')
    awaited = None if fetched is None else fetched - (ahead or 0)
    fields = [field(label, units.count(value)) for label, value in (
        ('faults/s', rates.get('faults')), ('waited for', awaited),
        ('ahead', ahead), ('refaults', rates.get('refaults')),
        ('written', rates.get('written-pages')),
        ('evicted', rates.get('evicted-pages')))]
    errors = rates.get('errors')
    fields.append(field('errors', units.count(errors),
                        'bad' if errors else 'value'))
    return flow(fields, width)


def _latency(backend, change, width):
    all_faults = change['latency-ns'].get('fault-latency', {})
    fields = [field('wait: mean', units.time(change['mean-wait-ns']))]
    fields += [field(name, units.time(all_faults.get(name)))
               for name in ('p50', 'p90', 'p99')]
    remote = change['latency-ns'].get('fault-latency-remote', {})
    fields.append(field('of remote pages: p50', units.time(remote.get('p50'))))
    waiting = backend.get('waiting-faults')
    fields.append(field('waiting now', units.NOTHING if waiting is None
                        else str(waiting)))
    return flow(fields, width)


def _past(backend, history, width):
    """The rate of faults in the last samples."""
    room = max(width - len(INDENT) - 30, 1)
    samples = history.samples[-room - 1:]
    rates = []
    for before, after in zip(samples, samples[1:]):
        old, new = (one.backend(backend['id']) for one in (before, after))
        seconds = after.clock - before.clock
        known = old and new and seconds > 0 and old['faults'] <= new['faults']
        rates.append((new['faults'] - old['faults']) / seconds
                     if known else None)
    known = [rate for rate in rates if rate is not None]
    most = units.count(max(known)) if known else units.NOTHING
    return [(None, INDENT), ('label', 'faults/s until now '),
            ('spark', spark(rates)), ('label', f' most {most}')]


def _cost(backend, width):
    """The cost of other cache sizes."""
    points = estimate.points(backend)
    if not points:
        return [[(None, INDENT), ('label', 'cost of other sizes '),
                 ('value', units.NOTHING)]]
    fields = [[('label', 'fetched/s with a cache of')]]
    most = max(cost for _, cost in points) or 1
    for cache, cost in points:
        block = BLOCKS[int(cost / most * (len(BLOCKS) - 1) + 0.5)]
        fields.append([('label', units.size(cache) + ' '), ('spark', block),
                       ('value', ' ' + units.count(cost))])
    return flow(fields, width)


def backend_lines(backend, change, history, width, selected=False):
    """Everything about a backend. The change is what Change.backend()
    returns."""
    return [*_head(backend, width, selected),
            [(None, INDENT), *memory_bar(backend, width - 2 * len(INDENT))],
            *flow(legend(backend), width), *_rates(change, width),
            *_latency(backend, change, width),
            _past(backend, history, width), *_cost(backend, width)]


def store_lines(store, change, width):
    """A store."""
    rates = change['rates']
    status = store['status']
    fields = [
        [('label', 'store '), ('name', store['id']), (None, '  '),
         (colour(status), status)],
        [('label', store['type'])],
        field('holds', units.size(store['pages'] * units.PAGE)),
        field('read/s', units.size(rates.get('bytes-read'))),
        field('written/s', units.size(rates.get('bytes-written'))),
        field('errors', units.count(store['errors']),
              'bad' if rates.get('errors') else 'value')]
    rows = flow(fields, width)
    if 'rebuild' in store:
        rows += flow([[('label', 'store '), ('name', store['id']),
                       (None, '  '), ('warn', 'rebuilding')],
                      progress(store['rebuild'])], width)
    return rows


def progress(entry):
    """How far something has come, of which the pages are counted."""
    done, whole = entry['current-progress'], entry['total-progress']
    part = int(BAR * done / whole) if whole else 0
    return [('spark', '█' * part + '░' * (BAR - part)),
            ('value', ' ' + units.percent(done, whole)),
            ('label', f' of {units.count(whole)} pages')]


def job_lines(job, width):
    """A job, of a backend if that is known."""
    what = job['type'][len(JOB_PREFIX):]
    if job.get('backend'):
        what += ' of ' + job['backend']
    fields = [[('label', 'job '), ('name', job['id']), (None, '  '),
               ('label', what + ' '), (colour(job['status']), job['status'])],
              progress(job)]
    if job.get('error'):
        fields.append([('bad', job['error'])])
    return flow(fields, width)


def vm_line(sample):
    """The head of a VM."""
    if not sample.is_up:
        return [('vm', sample.name), (None, '  '), ('bad', sample.error)]
    line = [('vm', sample.name), (None, '  '),
            (colour(sample.status), sample.status)]
    if not sample.backends:
        line.append(('label', '  no remote memory'))
    return line


def tail_lines(change, width):
    """Stores and jobs of a VM."""
    rows = [row for store in change.after.stores
            for row in store_lines(store, change.store(store['id']), width)]
    return rows + [row for job in change.after.jobs
                   for row in job_lines(job, width)]


def plain(change, history, width):
    """All of a VM without colours."""
    rows = [vm_line(change.after)]
    for backend in change.after.backends:
        rows += backend_lines(backend, change.backend(backend['id']),
                              history, width)
    rows += tail_lines(change, width)
    return '\n'.join(''.join(text for _, text in row).rstrip()
                     for row in rows)
