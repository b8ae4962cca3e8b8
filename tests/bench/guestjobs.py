"""Guests that take turns, and the samples that rows are made from.

Samples are named WORKLOAD.PEER.PERCENT, where PERCENT of the working set is
local memory, and are operations/s, MB/s or seconds, as the workload has it. A
"*" in the name stands for all peers that there are.
All guests with one program are open at the same time; those that do not run
are stopped.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import contextlib
import fnmatch
import os

import guest as guests
from rows import SHARES
from workloads import WORKLOADS


def _with_hints(store):
    """STORE-PREFETCH without hints, of all kinds; and some with hints."""
    plain = {'store': store}
    hints = {**plain, 'hints': True}
    return {**{f'{store}-{prefetch}': ('remote', plain, prefetch)
               for prefetch in ('off', 'readahead', 'stride', 'adaptive')},
            f'hints-{store}': ('remote', hints, 'off'),
            f'hints-{store}-adaptive': ('remote', hints, 'adaptive')}


# What a peer's guest is: kind, options, and how it prefetches.
PEERS = {
    'remote': ('remote', {}, None),
    'remote-off': ('remote', {}, 'off'),
    'memcached': ('remote', {'store': 'memcached'}, None),
    **_with_hints('distant'),
    **_with_hints('memcached'),
    'zram': ('zram', {}, None),
    'nbd': ('nbd', {}, None),
    'file': ('file', {}, None),
}

# Kinds that must not be open with others: there is one swap on a host.
ALONE = ('file',)

# How long a workload runs that has no end of its own, in s; before that, as
# long without being measured, whenever its memory has changed.
SECONDS = {False: 4, True: 1}

# How long it runs each time before it is measured, in a quick run, in s: less
# than by itself. A scan needs that time, until its pager has a CPU of its own.
QUICK_WARMUP = {'touch': 0.5, 'zipf': 0.5}

PREFETCH = 'adaptive'


class Turn:
    """One sample to be taken again and again."""

    def __init__(self, name):
        self.name = name
        self.workload, self.peer, percent = name.split('.')
        self.percent = int(percent)
        self.program = WORKLOADS[self.workload].program
        self.kind, self.options, self.prefetch = PEERS[self.peer]

    def guest(self):
        """Turns in which this is equal share a guest."""
        return self.kind, tuple(sorted(self.options.items()))

    def take(self, machine, quick):
        """Run the workload; returns the number that counts."""
        if self.prefetch:
            machine.set_prefetch(self.prefetch)
        options = {'seconds': SECONDS[quick]} if self.lasts() else {}
        if quick and self.program in QUICK_WARMUP:
            options['warmup'] = QUICK_WARMUP[self.program]
        requests = WORKLOADS[self.workload].options.get('requests')
        if requests and quick:
            options['requests'] = requests // 4
        answer = machine.run(self.workload, **options)
        if self.prefetch:
            machine.set_prefetch(PREFETCH)
        return answer[WORKLOADS[self.workload].metric]

    def lasts(self):
        """Whether it ends only when time is up."""
        return self.program in ('touch', 'scan', 'zipf')


class Stage:
    """Turns whose guests are open at the same time."""

    def __init__(self, turns, quick, samples, progress):
        self.turns = turns
        self.quick = quick
        self.samples = samples
        self.progress = progress
        self.machines = {}
        self.open = set()
        self.resources = contextlib.ExitStack()

    def boot(self):
        """Begin to boot one guest after the other; gives their keys."""
        for turn in self.turns:
            key = turn.guest()
            if key in self.machines:
                continue
            machine = guests.open_guest(turn.kind, turn.program, self.quick,
                                        **turn.options)
            self.resources.callback(machine.close)
            self.machines[key] = machine
            self.progress(turn.program, f'starting a guest on {turn.peer}')
            self._guarded(key, lambda machine: machine.boot())
            yield key

    def wait_booted(self, key):
        """Wait until a guest has booted, or is of no use."""
        self._guarded(key, lambda machine: machine.wait_booted())

    def measure(self, runs):
        """Take all turns, so many times."""
        with self.resources:
            for turn in self.turns:
                self._open(turn)
            for percent in SHARES:
                turns = [turn for turn in self.turns
                         if turn.percent == percent]
                if turns:
                    self._measure_share(turns, runs)
            for key in list(self.machines):
                self._check(key)

    def _lack(self, key, problem):
        """A guest is of no use, now or any more."""
        self.machines[key] = None
        for turn in self.turns:
            if turn.guest() == key:
                self.samples.lack(turn.name, problem)
        self.progress(f'{self.turns[0].program} {key[0]}', str(problem))

    def _open(self, turn):
        """Have its program set up, once, and warm up."""
        key = turn.guest()
        if key in self.open:
            return
        self.open.add(key)
        self._guarded(key, self.resources.enter_context)
        self._warm(turn)

    def _measure_share(self, turns, runs):
        for key in {turn.guest(): None for turn in turns}:
            self._guarded(key, lambda machine: machine.set_share(
                SHARES[turns[0].percent]))
        for turn in turns:
            self._warm(turn)
        for run in range(runs):
            for turn in turns:
                self._guarded(turn.guest(),
                              lambda machine, turn=turn, run=run:
                              self._take(machine, turn, run))

    def _warm(self, turn):
        if turn.lasts():
            self._guarded(turn.guest(),
                          lambda machine: turn.take(machine, self.quick))

    def _take(self, machine, turn, run):
        value = turn.take(machine, self.quick)
        self.samples.add(turn.name, value)
        self.progress(f'{turn.name} {run + 1}',
                      f'{value:.4g} {WORKLOADS[turn.workload].unit}')

    def _check(self, key):
        self._guarded(key, lambda machine: machine.check())

    def _guarded(self, key, action):
        """Do something with a guest that is still of use."""
        if self.machines[key]:
            try:
                action(self.machines[key])
            except (guests.Skip, *guests.ERRORS) as problem:
                self._lack(key, problem)


def _all_peers(name):
    """The names of samples that a name with "*" stands for."""
    workload, peers, percent = name.split('.')
    return [f'{workload}.{peer}.{percent}'
            for peer in fnmatch.filter(PEERS, peers)]


def stages(names):
    """The turns for these samples, in groups that are open together."""
    groups = {}
    for name in dict.fromkeys(names):
        turn = Turn(name)
        groups.setdefault((turn.program, turn.kind in ALONE and turn.kind),
                          []).append(turn)
    return list(groups.values())


def open_together(made, quick):
    """Stages whose guests are there at the same time, for the sake of time:
    all of a quick run. Those of a full run would take too much memory."""
    crowd = [stage for stage in made
             if quick and stage.turns[0].kind not in ALONE]
    return [crowd] * bool(crowd) + [[stage] for stage in made
                                    if stage not in crowd]


def boot(group):
    """Boot all guests, but only as many at once as there are CPUs: a kernel
    that has to wait for one gets a wrong idea of its clock."""
    waiting = collections.deque()
    for stage in group:
        for key in stage.boot():
            waiting.append((stage, key))
            if len(waiting) == len(os.sched_getaffinity(0)):
                first, key = waiting.popleft()
                first.wait_booted(key)
    for stage, key in waiting:
        stage.wait_booted(key)


def measure(names, quick, runs, samples, progress):
    """Take all samples with these names."""
    names = [one for name in names for one in _all_peers(name)]
    try:
        guests.make_guest()
    except guests.Skip as problem:
        for name in names:
            samples.lack(name, problem)
        return
    made = [Stage(turns, quick, samples, progress) for turns in stages(names)]
    for group in open_together(made, quick):
        with contextlib.ExitStack() as stack:
            for stage in group:
                stack.enter_context(stage.resources)
            boot(group)
            for stage in group:
                stage.measure(runs)
