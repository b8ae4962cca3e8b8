"""What a cell of the fault matrix can say, and how it is made sure of.

In each the guest verifies every word that it reads, before, during and after
the fault, and the monitor answers all the time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from lib import require

# While some replies are wrong: every so many, until so many were noticed.
ONE_IN = 100
NOTICED = 3


class Outcome:
    """A cell that is tried out."""
    word = ''
    text = ''

    def check(self, session, fault):
        """Bring the fault about in a guest that is busy. Returns whether the
        guest is of use afterwards."""
        raise NotImplementedError

    @staticmethod
    def during(session, fault):
        """The VM stops, and again if it is told to go on."""
        session.begin(fault)
        session.wait_error()
        session.check_monitor()
        session.try_in_vain()


class Cured(Outcome):
    """Nothing is lost: the guest waits until the server is well."""
    word = 'cured'
    text = ('the VM stops (``io-error``, with an event). ``cont`` leads back '
            'there while the fault lasts. When it is over, ``cont`` lets the '
            'guest go on')

    def check(self, session, fault):
        self.during(session, fault)
        session.end(fault)
        session.revive()
        return True


class Retried(Cured):
    """Some wrong answers do not matter, and many are as an outage."""
    word = 'retried'
    text = ('if a few answers are wrong, the pages are asked for again, and '
            'the guest does not notice; if all are, *cured*')

    def check(self, session, fault):
        errors = session.errors()
        session.begin(fault, ONE_IN)
        session.go_on(lambda: session.errors() >= errors + NOTICED)
        session.end(fault)
        return super().check(session, fault)


class Lost(Outcome):
    """Pages are gone, so the guest cannot go on, and does not."""
    word = 'lost'
    text = ('the VM stops, and again after each ``cont``: pages that the '
            'guest needs are gone, and nothing else is put in their place')

    def check(self, session, fault):
        self.during(session, fault)
        session.end(fault)
        session.try_in_vain()
        session.try_in_vain()
        return False


class Stuck(Lost):
    """Nothing is lost, but there is no cure."""
    word = 'stuck'
    text = ('the VM stops, and again after each ``cont``: the limit cannot be '
            'lifted while it runs')


class GoesOn(Outcome):
    """There is another copy."""
    word = 'goes on'
    text = ('the VM does not stop: the other copy serves it. When the fault '
            'is over, the first one is made whole again')

    def check(self, session, fault):
        session.begin(fault)
        session.go_on(lambda: not session.is_whole())
        session.end(fault)
        session.go_on(session.is_whole)
        return True


class NotApplicable:
    """A cell that makes no sense, for a reason."""
    word = 'n/a'

    def __init__(self, reason):
        self.reason = reason


class Elsewhere:
    """A cell that another test tries out, with this outcome."""

    def __init__(self, test, outcome):
        require(isinstance(outcome, Outcome), 'not an outcome')
        self.test = test
        self.word = outcome.word


class Open:
    """A cell that is not tried out yet. There should be none."""
    word = 'open'

    def __init__(self, reason):
        self.reason = reason


CURED, RETRIED, LOST, STUCK, GOES_ON = (
    Cured(), Retried(), Lost(), Stuck(), GoesOn())
OUTCOMES = [CURED, RETRIED, LOST, STUCK, GOES_ON]
