"""A guest that is busy on a store which is going to fail.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib

import lib
from lib import MIB, Machine, require
from payload import boot_from, make_payload

# The guest verifies all words of PAGES pages, again and again, and says so
# after every BEAT pages.
PAGES = 1024
BEAT = 64
WORDS = 1024
FOR_EVER = 0xffffffff

SIZE = 64 * MIB
CACHE = MIB


def busy_payload(directory):
    """What the guest boots."""
    return make_payload(directory, PAGES=PAGES, WORDS=WORDS, ROUNDS=FOR_EVER,
                        BEAT=BEAT)


class Session(contextlib.ExitStack):
    """A machine and the leaves of its store. The first leaf is the one that
    fails."""

    def __init__(self, row, fault):
        super().__init__()
        self.machine = None
        self.leaves = []
        try:
            self._start(row, fault)
        except BaseException:
            self.close()
            raise

    def _start(self, row, fault):
        directory = self.enter_context(lib.work_directory())
        image = busy_payload(directory)
        for number, leaf in enumerate(row.leaves):
            place = directory / str(number)
            place.mkdir()
            self.leaves.append(self.enter_context(
                leaf(place, fault if number == 0 else None)))
        store = row.filter([leaf.store() for leaf in self.leaves])
        extra = [word for leaf in self.leaves for word in leaf.arguments()]
        self.machine = self.enter_context(Machine(
            boot_from(image), SIZE, CACHE, store, extra=extra,
            setup=self.leaves[0].setup, **row.backend))

    # --- the fault ---------------------------------------------------------

    def begin(self, fault, one_in=1):
        """Let the fault begin; a lie concerns one reply in so many."""
        victim = self.leaves[0]
        if fault.is_lie:
            victim.lie(self.machine, fault.name, one_in)
        else:
            getattr(victim, fault.name)(self.machine, True)

    def end(self, fault):
        """Let it end."""
        victim = self.leaves[0]
        if fault.is_lie:
            victim.lie(self.machine, None, 1)
        else:
            getattr(victim, fault.name)(self.machine, False)

    # --- the guest ---------------------------------------------------------

    def verified(self):
        """How many pages the guest has verified."""
        return BEAT * self.machine.console.text.count('GUEST: verified\n')

    def errors(self):
        """How many requests have gone wrong."""
        return self.machine.memory()['errors']

    def is_whole(self):
        """Whether the store has all that it should have, in each copy."""
        stores = self.machine.qmp.command('query-remote-stores')
        name = self.machine.memory()['store']
        return [store['status'] for store in stores
                if store['id'] == name] == ['connected']

    def _goal(self):
        """After one more round, each page was read since now."""
        return self.verified() + PAGES

    def go_on(self, until=lambda: True):
        """Verify a round, and more until something is true, without a stop."""
        goal = self._goal()

        def done(status):
            require(status == 'running', f'VM is {status}')
            return self.verified() >= goal and until()
        self.machine.wait_until(done, 'another round')
        require(not self.machine.qmp.take_event('STOP'), 'the VM was stopped')

    def revive(self):
        """Continue, as often as it takes to verify a round."""
        goal = self._goal()
        self.machine.revive(lambda: self.verified() >= goal,
                            'a round after the cure')

    def wait_error(self):
        """Wait until the VM was stopped by its store. Returns the event."""
        found = []

        def done(_):
            event = self.machine.qmp.take_event('REMOTE_MEMORY_ERROR')
            found.extend([event] if event else [])
            return found
        self.machine.wait_until(done, 'a stop')
        event = found[0]
        require(event['id'] == 'ram0' and event['action'] == 'stop' and
                event['reason'], f'not the right event: {event}')
        self.machine.wait_until(lambda status: status == 'io-error',
                                'io-error')
        return event

    def try_in_vain(self):
        """A command to go on leads to another stop. Returns its event."""
        self.machine.qmp.forget_events()
        self.machine.qmp.command('cont')
        return self.wait_error()

    def check_monitor(self):
        """An operator can look and act while the store is lost."""
        self.machine.qmp.command('query-remote-stores')
        state = self.machine.memory()['state']
        require(state == 'error', f'state is {state}')
        self.machine.qmp.command('stop')
        require('io-error' in self.machine.qmp.hmp('info status'),
                'the human monitor does not know of the error')


class Sessions:
    """One guest after the other on a row's store, each for as many faults as
    it survives. make(row, fault) makes one."""

    def __init__(self, row, make=Session):
        self.row = row
        self.make = make
        self.key = None
        self.session = None

    def try_cell(self, fault, outcome):
        """One cell. A guest that has been of use is used for the next one."""
        try:
            session = self.get(fault)
            survived = outcome.check(session, fault)
            session.machine.check_records()
            if not survived:
                self.retire()
        except BaseException as error:
            self.fail(error)
            raise

    def get(self, fault):
        """A guest that is busy on a store that is going to fail like that."""
        key = self.row.leaves[0].key(fault)
        if not self.session or self.key != key:
            self.drop()
            self.session = self.make(self.row, fault)
            self.key = key
            if key != fault.name:
                self.session.go_on()
        return self.session

    def retire(self):
        """End a guest that cannot go on: QEMU ends all the same."""
        require(self.session.machine.quit(), 'QEMU does not quit')
        self.drop()

    def drop(self):
        """End the guest that there is."""
        if self.session:
            session, self.session = self.session, None
            session.close()

    def fail(self, error):
        """End it after a failure, and say what is known of it."""
        if self.session:
            session, self.session = self.session, None
            session.__exit__(type(error), error, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()
