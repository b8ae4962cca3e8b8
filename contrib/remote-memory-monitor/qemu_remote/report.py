"""A page with plots over the time that was recorded.

It is one file that needs nothing else, also no network.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import time

from . import estimate, ram, units
from .charts import Plot, Series, escape, figure, time_text, time_ticks

STYLE = '''
:root { color-scheme: light dark;
  --ground: #ffffff; --ink: #1c1e21; --soft: #5b6169; --grid: #dfe2e6;
  --c0: #0a62a9; --c1: #4aa3df; --c2: #2e8b6f; --c3: #d98a1f;
  --c4: #a8488f; --c5: #c3c8ce; --c6: #b3402a; --c7: #1c1e21; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #16181b; --ink: #e6e8ea; --soft: #a2a9b1; --grid: #33383e;
  --c0: #4c9be8; --c1: #9bd0f5; --c2: #58bf9d; --c3: #eeb155;
  --c4: #d98cc4; --c5: #4a5058; --c6: #ef8a75; --c7: #e6e8ea; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink);
  background: var(--ground); max-width: 1400px; margin: 0 auto;
  padding: 1rem 1.2rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2rem;
  border-bottom: 1px solid var(--grid); } h3 { font-size: 1.05rem; }
p, figcaption, td, th { font-variant-numeric: tabular-nums; }
.soft, .none { color: var(--soft); }
.plots { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg.key { width: 24px; height: 12px; display: inline-block; }
svg text { font-size: 12px; fill: var(--soft); }
.grid { stroke: var(--grid); fill: none; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
table { border-collapse: collapse; font-size: 0.85rem; width: 100%; }
td, th { text-align: right; font-weight: normal; padding: 0.1rem 0.5rem; }
th[scope=row], .events td { text-align: left; }
thead th { color: var(--soft); }
''' + '\n'.join(f'.c{n}.line {{ stroke: var(--c{n}); }} '
                f'.c{n}.area, .c{n}.dot {{ fill: var(--c{n}); }}'
                for n in range(8)) + '\n'

# Titles, counters and colours
RATES = (('faults', 'faults', 'c0'), ('fetched', 'fetched-pages', 'c1'),
         ('of these ahead', 'prefetched-pages', 'c2'),
         ('written', 'written-pages', 'c3'),
         ('evicted', 'evicted-pages', 'c4'), ('refaults', 'refaults', 'c7'))


def _date(moment):
    return time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(moment))


class Section:  # pylint: disable=too-few-public-methods
    """What was seen of one VM."""

    def __init__(self, history, number):
        self.history = history
        self.number = number
        self.samples = history.samples
        self.begin = self.samples[0].clock
        self.plots = 0

    def _over_time(self, title, series, samples, **options):
        places = [sample.clock - self.begin for sample in samples]
        ticks = [tick for tick in time_ticks(places[-1] if places else 0)
                 if places and tick >= places[0]]
        return self._figure(Plot(title, places, series, place_text=time_text,
                                 place_ticks=ticks, **options))

    def _figure(self, plot):
        self.plots += 1
        return figure(plot, f'p{self.number}-{self.plots}')

    # --- plots of a backend ------------------------------------------------

    def _sizes(self, name):
        """Where the memory was."""
        seen = [sample.backend(name) for sample in self.samples]
        sizes = [ram.sizes(backend) if backend else {} for backend in seen]
        series = [Series(kind.name, f'c{number}',
                         [entry.get(kind.name) for entry in sizes])
                  for number, kind in enumerate(ram.KINDS)]
        return self._over_time('Where the memory is', series, self.samples,
                               text=units.size, stacked=True, binary=True)

    def _cache(self, name):
        """The cache against its bound."""
        seen = [sample.backend(name) for sample in self.samples]
        series = [
            Series('cache size', 'c6',
                   [one and one['cache-size'] for one in seen]),
            Series('local', 'c0', [one and ram.local(one) for one in seen])]
        return self._over_time('Cache', series, self.samples,
                               text=units.size, binary=True)

    def _changes(self):
        changes = self.history.changes()
        return changes, [change.after for change in changes]

    def _backend_changes(self, name):
        return [change.backend(name) if change.after.backend(name) else None
                for change in self._changes()[0]]

    def _rates(self, name):
        """What the backend did per second."""
        did = self._backend_changes(name)
        series = [Series(title, style,
                         [one and one['rates'].get(counter) for one in did])
                  for title, counter, style in RATES]
        return self._over_time('Pages per second', series,
                               self._changes()[1], text=units.count)

    def _latency(self, name):
        """How long faults waited: quantiles if there are histograms."""
        did = self._backend_changes(name)
        series = [Series('mean', 'c7',
                         [one and one['mean-wait-ns'] for one in did])]
        series += [
            Series(f'{quantile[1:]} of 100 within', f'c{number}',
                   [one and one['latency-ns'].get('fault-latency', {})
                    .get(quantile) for one in did])
            for number, quantile in ((0, 'p50'), (3, 'p90'), (6, 'p99'))]
        series = [entry for entry in series if entry.known()] or series[:1]
        return self._over_time('How long faults wait', series,
                               self._changes()[1], text=units.time,
                               logarithmic=True)

    def _cost(self, name):
        """The cost of other cache sizes, as it was estimated last."""
        points = [found for found in
                  (estimate.points(sample.backend(name) or {})
                   for sample in self.samples) if found]
        if not points:
            return ''
        sizes, costs = zip(*points[-1])
        plot = Plot('Cost of other cache sizes', list(sizes),
                    [Series('fetched pages per second', 'c0', list(costs))],
                    text=units.count, place_text=units.size,
                    place_ticks=sizes[::max(len(sizes) // 6, 1)])
        return self._figure(plot)

    # --- plots of a store --------------------------------------------------

    def _store(self, name):
        changes, after = self._changes()
        did = [change.store(name)['rates'] if change.after.store(name)
               else {} for change in changes]
        series = [Series('read', 'c0', [one.get('bytes-read') for one in did]),
                  Series('written', 'c3',
                         [one.get('bytes-written') for one in did])]
        rates = self._over_time('Bytes per second', series, after,
                                text=units.size, binary=True)
        held = [sample.store(name) for sample in self.samples]
        series = [Series('held', 'c2', [one and one['pages'] * units.PAGE
                                        for one in held])]
        return rates + self._over_time('Pages held', series, self.samples,
                                       text=units.size, binary=True)

    # --- the section -------------------------------------------------------

    def _ids(self, kind):
        """All that were ever there, in the order in which they came."""
        return list(dict.fromkeys(entry['id'] for sample in self.samples
                                  for entry in getattr(sample, kind)))

    def _title(self):
        last = self.history.latest[-1]
        state = last.status if last.is_up else f'does not answer: {last.error}'
        return f'<h2>{escape(last.name)}</h2>\n<p>At the end: ' \
               f'{escape(state)}. {len(self.samples)} samples from ' \
               f'{escape(last.address)}.</p>'

    def html(self):
        """The section of the page."""
        parts = [self._title()]
        backends = self._ids('backends')
        if not backends:
            parts.append('<p class="none">No remote memory was seen.</p>')
        for name in backends:
            plots = [self._sizes(name), self._cache(name), self._rates(name),
                     self._latency(name), self._cost(name)]
            parts.append(_plots(f'Memory backend {name}', plots))
        for name in self._ids('stores'):
            parts.append(_plots(f'Store {name}', [self._store(name)]))
        return '<section>\n' + '\n'.join(parts) + '\n</section>'


def _plots(title, plots):
    return f'<h3>{escape(title)}</h3>\n<div class="plots">\n' + \
        '\n'.join(plots) + '\n</div>'


def _events(events):
    if not events:
        return ''
    rows = '\n'.join(
        f'<tr><td>{_date(event.time)}</td><td>{escape(event.vm)}</td>'
        f'<td>{escape(event.text)}</td></tr>' for event in events)
    return ('<section><h2>Events</h2>\n<table class="events"><thead><tr>'
            '<th scope="col">time</th><th scope="col">VM</th>'
            '<th scope="col">event</th></tr></thead>\n<tbody>' +
            rows + '</tbody></table></section>')


def page(watch):
    """The page, of all that was seen."""
    histories = [history for history in watch.histories.values()
                 if history.samples]
    sections = [Section(history, number).html()
                for number, history in enumerate(histories)]
    moments = [sample.time for history in histories
               for sample in (history.samples[0], history.latest[-1])]
    span = f'{_date(min(moments))} to {_date(max(moments))}' if moments \
        else 'nothing was seen'
    return ('<!DOCTYPE html>\n'
            '<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head>'
            '<meta charset="utf-8"/>\n'
            '<meta name="viewport" content="width=device-width"/>\n'
            '<title>Remote memory</title>\n'
            f'<style>{STYLE}</style></head>\n<body>\n<main>\n'
            '<h1>Remote memory</h1>\n'
            f'<p class="soft">{span}. Times along the plots count from the '
            'first sample of a VM.</p>\n' + '\n'.join(sections) +
            _events(watch.events) + '\n</main>\n</body>\n</html>\n')


def write_report(watch, path):
    """Write the page."""
    text = page(watch)
    with open(path, 'w', encoding='utf-8') as out:
        out.write(text)
