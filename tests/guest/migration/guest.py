"""The guest that is migrated, and what it has said.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re

from console import FATAL, ConsoleError
from lib import MIB, Failure, require
from payload import make_payload

# The guest verifies all words of PAGES pages, again and again, rewrites one
# in ONE_IN of them in each round, and says so after every BEAT pages.
PAGES = 2048
BEAT = 512
WORDS = 1024
ONE_IN = 4
FOR_EVER = 0xffffffff

SIZE = 64 * MIB

# A quarter of what the guest goes through, so less than that of its memory.
CACHE = PAGES * 4096 // 4

# A serial port's buffer: so much may be on its way to the console.
FIFO = 18

# What it says, whatever machine it is on.
LINE = 'GUEST: verified\n'
SPEECH = re.compile(r'GUEST: ready\n(?:GUEST: verified\n)*([^\n]*)')


def busy_payload(directory, one_in=ONE_IN, part=1):
    """What the guest boots. One that is slow can have a part of the pages,
    and says as much of them."""
    return make_payload(directory, PAGES=PAGES // part, WORDS=WORDS,
                        ROUNDS=FOR_EVER, BEAT=BEAT // part, ONE_IN=one_in)


def verified(machine):
    """How many pages it has verified on a machine."""
    return BEAT * machine.console.text.count(LINE)


def after(machine, rounds):
    """What verified() will be so many whole rounds from now."""
    return verified(machine) + rounds * PAGES + BEAT


def go_on(machine, rounds=1, until=lambda: True):
    """Verify so many rounds more, and then until something is true, without
    a stop. After one round each page was read since now."""
    goal = after(machine, rounds)

    def done(status):
        require(status == 'running', f'VM is {status}')
        return verified(machine) >= goal and until()
    machine.wait_until(done, f'{rounds} rounds')


def revive(machine):
    """Continue, as often as it takes to verify a round."""
    goal = after(machine, 1)
    machine.revive(lambda: verified(machine) >= goal,
                   'a round after the cure')


def check_speech(machines):
    """What it has said on all machines in turn is one speech: nothing is
    missing. A line that it began on one machine ends on the next."""
    text = ''
    for machine in machines:
        text = join(text, machine.console.drain())
    wrong = FATAL.search(text)
    if wrong:
        raise ConsoleError('the guest says: ' + wrong[0].strip())


def join(text, more):
    """What was said on one machine and then on the next. What the serial
    port had not got rid of when the guest went is said by both."""
    for length in range(FIFO):
        whole = text + more[length:]
        if text.endswith(more[:length]) and is_speech(whole):
            return whole
    raise Failure(f'the guest said {text[-100:]!r} and then {more[:100]!r}')


def is_speech(text):
    """Whether that is what it says, as far as it got."""
    match = SPEECH.fullmatch(text)
    return not text or bool(match and LINE.startswith(match[1]))


def has_stopped(machine, last_words):
    """Whether it has said nothing more on a machine."""
    return len(machine.console.drain()) - len(last_words) < FIFO
