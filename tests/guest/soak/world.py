"""The machine under test, and what is known of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import dataclasses
import re
import time

import lib
from lib import STEP_SECONDS, QmpError, require
from soak.operations import NotNow

# What is told of the operations before one that fails.
HISTORY = 20

# For a command that nothing may refuse.
NEVER = '(?!)'

# The guest has begun to verify what it wrote.
BUSY = re.compile(r'memhog: round [1-9]')


@dataclasses.dataclass
class Job:
    """A job of a memory backend that has not been dismissed."""
    command: str
    backend: str
    store: str = None
    cancelled: bool = False


class World:
    """Runs commands, and follows events. Each step is counted and told."""

    def __init__(self, machine, stores, directory):
        self.machine = machine
        self.stores = stores    # by id: properties to make it again, or None
        self.directory = directory
        self.step = 0
        self.history = collections.deque(maxlen=HISTORY)
        self.refused = collections.Counter()
        self.jobs = {}
        self.plugs = {}         # by name, from object-add to object-del
        self.asked = set()      # names whose device the guest should let go
        self.leaving = set()    # names whose device has gone
        self.caches = {'ram0': machine.cache}
        self.stopped = False
        self.dump = None        # the file, while it is being written
        self.boot = 0           # where on the console the last boot begins
        self.may_restart = False    # the firmware does so after a reset

    # --- commands ----------------------------------------------------------

    def say(self, text):
        """What is going to be done."""
        self.history.append(f'{self.step}: {text}')

    def command(self, name, **arguments):
        """A command that has to work."""
        return self.machine.qmp.command(name, timeout=STEP_SECONDS,
                                        **arguments)

    def attempt(self, refusal, name, **arguments):
        """A command that may be refused for this reason; returns whether it
        has worked."""
        try:
            self.command(name, **arguments)
        except QmpError as error:
            if not re.search(refusal, str(error)):
                raise
            self.history.append(f'   refused: {error}')
            self.refused[name] += 1
            return False
        return True

    def set_property(self, name, **properties):
        """Set properties of an object."""
        for key, value in properties.items():
            self.command('qom-set', path=f'/objects/{name}',
                         property=key.replace('_', '-'), value=value)

    # --- what there is -----------------------------------------------------

    def backends(self):
        """Size of each memory backend, by its id."""
        return {'ram0': self.machine.size,
                **{name: plug.size for name, plug in self.plugs.items()}}

    def infos(self):
        """What query-remote-memory says, by id."""
        return {info['id']: info
                for info in self.command('query-remote-memory')}

    def jobs_of(self, backend, *commands):
        """Jobs of a backend that are begun by these commands, or by any."""
        return [job for job in self.jobs.values() if job.backend == backend
                and (not commands or job.command in commands)]

    def busy(self):
        """Whether the guest has come as far as to verify its memory."""
        return bool(BUSY.search(self.machine.console.text, self.boot))

    def need(self, condition):
        """For an operation that makes no sense otherwise."""
        if not condition:
            raise NotNow

    # --- what happens ------------------------------------------------------

    def pump(self):
        """Follow all events until now, and see that the guest is well."""
        for event in self.machine.qmp.take_events():
            handler = self.HANDLERS.get(event['event'])
            if handler:
                handler(self, event.get('data', {}))
        self.machine.console.check()
        require(self.machine.process.poll() is None, 'QEMU has ended')

    def wait(self, done, what, seconds=STEP_SECONDS):
        """Until something is true."""
        deadline = time.monotonic() + seconds
        while not done():
            require(time.monotonic() < deadline,
                    f'{what}: not in {seconds} s')
            time.sleep(lib.POLL_SECONDS)
            self.pump()

    def _on_job(self, data):
        if data['status'] == 'concluded' and data['id'] in self.jobs:
            job = self.jobs.pop(data['id'])
            info, = (info for info in self.command('query-jobs')
                     if info['id'] == data['id'])
            self.command('job-dismiss', id=data['id'])
            self.history.append(f'   {data["id"]} has ended: {info}')
            self._check_job(job, info)

    def _check_job(self, job, info):
        """A job fails if it is cancelled, or if its backend goes away."""
        error = info.get('error')
        require(not error or job.cancelled or 'not in use any more' in error,
                f'{job}: {error}')
        if not error and job.command == 'remote-memory-set-store':
            infos = self.infos()
            require(job.backend not in infos or
                    infos[job.backend]['store'] == job.store,
                    f'{job} has not moved to that store')

    def _on_dump(self, data):
        require('error' not in data, f'a dump has failed: {data}')
        self.dump.unlink()
        self.dump = None

    def _on_deleted(self, data):
        for name, plug in self.plugs.items():
            if data.get('device') == plug.device():
                self.leaving.add(name)

    def _on_reset(self, data):
        require(not data['guest'] or self.may_restart,
                f'the guest has reset itself: {data}')
        self.may_restart = not data['guest']
        self.boot = len(self.machine.console.drain())

    def _on_shutdown(self, data):
        raise lib.Failure(f'the machine went down: {data}')

    def _on_error(self, data):
        raise lib.Failure(f'a store has failed: {data}')

    HANDLERS = {'JOB_STATUS_CHANGE': _on_job,
                'DUMP_COMPLETED': _on_dump,
                'DEVICE_DELETED': _on_deleted,
                'RESET': _on_reset,
                'SHUTDOWN': _on_shutdown,
                'REMOTE_MEMORY_ERROR': _on_error}
