"""One migration: how it is made, and what must be true of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses

from lib import MIB, require

PRECOPY, POSTCOPY = 'precopy', 'postcopy'

# What a migration goes through; the destination reads a file afterwards.
UNIX, TCP, FILE = 'unix', 'tcp', 'file'

ENDED = ('completed', 'failed', 'cancelled')

# Precopy ends when what is left can be sent within the longest time without
# the guest: that is four pages at first, fewer than the guest writes in a
# pass, and later anything.
SLOW = {'max-bandwidth': 16 * MIB, 'downtime-limit': 1}
FAST = {'max-bandwidth': 0, 'downtime-limit': 1000 * 1000}

# Passes over the memory before the switch, the first over all of it.
PASSES = 2


@dataclasses.dataclass(frozen=True)
class Trip:
    """How a migration is made.

    mode: precopy or postcopy
    handover: whether pages that are remote stay where they are
    capabilities: those that are switched on, on both sides
    parameters: of both sides
    scheme: what it goes through
    """
    mode: str = PRECOPY
    handover: bool = False
    capabilities: tuple = ()
    parameters: dict = dataclasses.field(default_factory=dict)
    scheme: str = UNIX

    def prepare(self, machine):
        """Tell one side."""
        names = list(self.capabilities)
        if self.scheme != FILE:
            names.append('return-path')
        if self.mode is POSTCOPY:
            names.append('postcopy-ram')
        if self.handover:
            names.append('remote-memory')
        set_capabilities(machine, names)
        machine.qmp.command('migrate-set-parameters',
                            **{**SLOW, **self.parameters})

    def make(self, source, destination, address):
        """Bring the guest from one machine to the other."""
        self.start(source, destination, address)
        self.finish(source)
        if self.scheme == FILE:
            destination.qmp.command('migrate-incoming', uri=address)
        wait_state(destination, 'completed')

    def start(self, source, destination, address, way=None):
        """Let it begin: to the destination's address, or to a way there."""
        self.prepare(destination)
        self.prepare(source)
        if self.scheme != FILE:
            destination.qmp.command('migrate-incoming', uri=address)
        source.qmp.command('migrate', uri=way or address)

    def finish(self, source):
        """Wait until the guest has written to what was sent already, and let
        it go over."""
        if not self.handover:
            # Else there is one only, when the guest has stopped.
            wait_passes(source, PASSES)
        self.switch(source)
        wait_state(source, 'completed')

    def switch(self, source):
        """Let the guest go over."""
        if self.mode is POSTCOPY:
            source.qmp.command('migrate-start-postcopy')
        else:
            end_precopy(source)


def set_capabilities(machine, names):
    """Switch these capabilities on, and off what a trip before had on."""
    known = machine.qmp.command('query-migrate-capabilities')
    wanted = [{'capability': name, 'state': True} for name in names]
    wanted += [{**entry, 'state': False} for entry in known
               if entry['state'] and entry['capability'] not in names]
    machine.qmp.command('migrate-set-capabilities', capabilities=wanted)


def end_precopy(source):
    """Let precopy end as soon as it can."""
    source.qmp.command('migrate-set-parameters', **FAST)


def state(machine):
    """Where its migration is; nothing before it began."""
    return machine.qmp.command('query-migrate').get('status')


def wait_passes(source, number):
    """Wait until some passes over its memory are done, so that there were
    writes to what had been sent. A guest that gets no time to write may be
    through before."""
    def done(_):
        info = source.qmp.command('query-migrate')
        require(info['status'] not in ('failed', 'cancelled'),
                f'migration failed: {info}')
        return (info['status'] == 'completed' or
                info.get('ram', {}).get('dirty-sync-count', 0) > number)
    source.wait_until(done, f'{number} passes')


def wait_state(machine, *wanted):
    """Wait until its migration is in one of some states; returns which."""
    def done(_):
        now = state(machine)
        require(now in wanted or now not in ENDED,
                f'migration is {now}, not {wanted}: ' +
                str(machine.qmp.command('query-migrate')))
        return now in wanted
    machine.wait_until(done, f'migration {wanted}')
    return state(machine)
