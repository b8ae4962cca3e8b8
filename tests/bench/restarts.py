"""A guest that is saved, and goes on in another QEMU; and how long that takes
until it is as fast as it was.

The guest is the boot sector of the tests: it writes all of its memory once,
and then goes on verifying a part of it, and writing a quarter of that, again
and again. Its store is far away. How fast it is tell the lines that it says:
one for so many pages.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import statistics
import subprocess
import time

import lib
from lib import MIB, PAGE, STEP_SECONDS, Machine, require
from migration.guest import FOR_EVER, LINE
from payload import boot_from, make_payload

# Pages that are written, by whether the run is quick; one in so many of them
# is used afterwards; and so many lines are said of these in one round.
PAGES = {False: 131072, True: 32768}
USED_SHARE = 8
BEATS = 64
# Memory that is not written: the firmware's, and some.
SPARE = 16 * MIB
# So that a page that is there takes a while, too, but few of a fetch.
WORDS = 256

# How long a page takes to come from the store.
DELAY_US = 200

# The guest is as fast as it was if it does that part of it in a second. By how
# many lines its speed is told, rounds that it is watched for, and how many are
# what it has to do.
FAST = 0.9
WINDOW = BEATS // 4
WATCHED = 4
WORK = 2

# Ways to restart it.
COLD, WARM, WARM_RUNNING = 'cold', 'warm', 'warm-running'
WAYS = (COLD, WARM, WARM_RUNNING)

STORE = {'qom-type': 'remote-store-fault', 'id': 'far',
         'store': {'qom-type': 'remote-store-ram'}}


@dataclasses.dataclass(frozen=True)
class Restart:
    """How much of what the guest uses has room in its cache; whether it uses
    one page after its neighbour; and how pages are fetched ahead."""
    room: float = 1.25
    in_order: bool = False
    prefetch: str = 'adaptive'


class Snapshot:
    """A guest that has been saved."""

    def __init__(self, restart, quick, directory):
        self.restart = restart
        self.pages = PAGES[quick]
        self.used = self.pages // USED_SHARE
        order = {'STRIDE': 1} if restart.in_order else {}
        image = make_payload(directory, PAGES=self.pages, HOT=self.used,
                             BEAT=self.used // BEATS, WORDS=WORDS, ONE_IN=4,
                             ROUNDS=FOR_EVER, **order)
        self.disk = image.with_suffix('.qcow2')
        subprocess.run([lib.ROOT / 'build' / 'qemu-img', 'convert', '-O',
                        'qcow2', image, self.disk], check=True,
                       stdout=subprocess.DEVNULL)

    def machine(self, *extra):
        """A QEMU with it on its disk."""
        boot = [word.replace('raw', 'qcow2').replace(',snapshot=on', '')
                for word in boot_from(self.disk)]
        cache = int(self.used * PAGE * self.restart.room) + MIB
        return Machine(boot, self.pages * PAGE + SPARE, cache // PAGE * PAGE,
                       STORE, extra=extra, prefetch=self.restart.prefetch)

    def make(self):
        """Let the guest run until what it uses is local, and save it."""
        with self.machine() as machine:
            _wait_lines(machine, 8 * BEATS)
            answer = machine.qmp.hmp('savevm there')
            require(not answer, f'savevm: {answer}')

    def restart_by(self, way):
        """Load it; returns the seconds until the guest is as fast as it was,
        and until it has done its work."""
        with self.machine('-S', '-loadvm', 'there') as machine:
            machine.qmp.command('qom-set', path='/objects/far',
                                property='delay-us', value=DELAY_US)
            begin = time.monotonic()
            if way is not COLD:
                machine.qmp.command('remote-memory-warm', id='ram0',
                                    job_id='warm')
            if way is WARM:
                _wait_job(machine)
            machine.qmp.command('cont')
            times = _watch(machine, begin)
            machine.qmp.command('stop')
            machine.check_records()
            return _seconds_until_fast(times), times[WORK * BEATS - 1]


def _count(machine):
    return machine.console.text.count(LINE)


def _wait_lines(machine, number):
    machine.wait_until(lambda _: _count(machine) >= number, f'{number} lines')


def _wait_job(machine):
    machine.qmp.wait_event('JOB_STATUS_CHANGE', STEP_SECONDS,
                           lambda data: data['status'] == 'concluded')
    job, = machine.qmp.command('query-jobs')
    require('error' not in job, f'{job.get("error")}')


def _watch(machine, begin):
    """When each line came, in s, until the guest has gone over what it uses
    several times."""
    times = []
    while len(times) < WATCHED * BEATS:
        machine.console.expect(LINE, STEP_SECONDS)
        times.append(time.monotonic() - begin)
    return times


def _seconds_until_fast(times):
    """From when on the guest has been as fast as in the end, by and large."""
    steps = [after - before for before, after in zip([0, *times], times)]
    usual = statistics.median(steps[-BEATS:])
    for i in range(len(times) - WINDOW):
        if statistics.mean(steps[i + 1:i + 1 + WINDOW]) <= usual / FAST:
            return times[i]
    return times[-1]


def measure(restart, quick):
    """Save a guest and restart it in all ways; returns seconds by name, see
    restartjobs.py."""
    with lib.work_directory() as directory:
        snapshot = Snapshot(restart, quick, directory)
        snapshot.make()
        figures = {}
        for way in WAYS:
            figures[way], figures[f'{way}-work'] = snapshot.restart_by(way)
        return figures
