"""A virtual machine: the connection to its QMP socket.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import asyncio
import contextlib
import logging
import time

from . import sockets
from .library import find_qmp
from .sample import (JOB_PREFIX, Sample, attach_backends, attach_histograms,
                     merge_stores)

find_qmp()
# pylint: disable=wrong-import-position,wrong-import-order
from qemu.qmp import (ConnectError, EventListener, ExecuteError,  # noqa: E402
                      QMPClient, QMPError)

# The library would tell of every lost connection, which is shown anyway.
logging.getLogger('qemu.qmp').setLevel(logging.CRITICAL)

EVENTS = ('REMOTE_MEMORY_CACHE_SIZE_CHANGE', 'REMOTE_MEMORY_ERROR',
          'REMOTE_STORE_STATUS_CHANGE', 'STOP', 'RESUME', 'SHUTDOWN')


class MachineError(Exception):
    """The VM does not answer, or refuses."""


def _reason(error, seconds):
    """Why a VM does not answer, for people."""
    if isinstance(error, asyncio.TimeoutError):
        return (f'no answer in {seconds:g} s; a QMP socket serves one '
                'client at a time')
    if isinstance(error, ConnectError):
        error = error.exc
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError):
        return 'the VM closed the connection'
    return str(error) or type(error).__name__


def _is_gone(error):
    """Whether nobody listens at the socket any more."""
    return isinstance(error, ConnectError) and isinstance(
        error.exc, (ConnectionRefusedError, FileNotFoundError))


# Whoever has just not answered in time is not waited for again by those who
# look at others, too: its answer is used when it comes.
IMPATIENCE = 0.2


class Machine:  # pylint: disable=too-many-instance-attributes
    """One VM. A connection that is lost is made again when it is next
    needed. Only one task talks to the VM at a time."""

    def __init__(self, address, seconds=5):
        self.address = address
        self.seconds = seconds
        self.name = ''
        self.events = []        # pairs of time and message, for take_events()
        self._client = None
        self._listener = None
        self._absent = set()    # commands that this QEMU does not know
        self._lock = asyncio.Lock()
        self._attempt = None    # a task that makes a sample
        self._silence = ''      # why the last one failed, if for no answer

    @property
    def title(self):
        """The VM's name, or its socket as long as that is not known."""
        return self.name or sockets.text(self.address)

    async def sample(self):
        """What the VM says now. If it does not answer, the sample says
        why."""
        if not self._attempt:
            self._attempt = asyncio.ensure_future(self._sample())
        limit = IMPATIENCE if self._silence else None
        await asyncio.wait([self._attempt], timeout=limit)
        if not self._attempt.done():
            return self._said(error=self._silence)
        attempt, self._attempt = self._attempt, None
        return attempt.result()

    def _said(self, **facts):
        return Sample(name=self.title, time=time.time(),
                      clock=time.monotonic(),
                      address=sockets.text(self.address), **facts)

    async def _sample(self):
        try:
            async with self._session():
                facts = await self._ask()
        except MachineError as error:
            late = isinstance(error.__cause__, asyncio.TimeoutError)
            self._silence = str(error) if late else ''
            return self._said(error=str(error), gone=_is_gone(error.__cause__))
        self._silence = ''
        return self._said(**facts)

    async def set_cache_size(self, backend, size):
        """Ask for another cache size. Raises MachineError."""
        async with self._session():
            try:
                await self._execute('remote-memory-set-cache-size',
                                    {'id': backend, 'cache-size': size})
            except ExecuteError as error:
                raise MachineError(str(error)) from error

    def take_events(self):
        """Events since the last time: pairs of time and message."""
        if self._listener:
            self._collect_events()
        events, self.events = self.events, []
        return events

    async def close(self):
        """End the connection."""
        if self._attempt:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        async with self._lock:
            await self._drop()

    # --- the connection ----------------------------------------------------

    @contextlib.asynccontextmanager
    async def _session(self):
        """A connection for the block, in which the VM has so much time for
        each request. Whatever goes wrong with it becomes a MachineError."""
        try:
            async with self._lock:
                try:
                    await self._within(self._connect())
                    yield
                except MachineError:
                    raise
                except BaseException:
                    await self._drop()
                    raise
        except (QMPError, OSError, EOFError, asyncio.TimeoutError) as error:
            raise MachineError(_reason(error, self.seconds)) from error

    async def _within(self, request):
        return await asyncio.wait_for(request, self.seconds)

    async def _connect(self):
        if self._client:
            return
        client = QMPClient()
        await client.connect(self.address)
        self._absent.clear()
        self._listener = EventListener(names=EVENTS)
        client.register_listener(self._listener)
        self._client = client

    def _collect_events(self):
        for message in self._listener.clear():
            stamp = message['timestamp']
            self.events.append((stamp['seconds'] + stamp['microseconds'] / 1e6,
                                dict(message)))

    async def _drop(self):
        """Let go of a connection, in whatever state it is."""
        client, self._client = self._client, None
        if self._listener:
            self._collect_events()
            self._listener = None
        if client:
            with contextlib.suppress(Exception):
                await client.disconnect()

    # --- requests ----------------------------------------------------------

    async def _execute(self, command, arguments=None):
        return await self._within(self._client.execute(command, arguments))

    async def _optional(self, command, arguments=None):
        """What a command returns; an empty list if this QEMU does not have
        it. It is not asked again in this connection."""
        if command in self._absent:
            return []
        try:
            return await self._execute(command, arguments)
        except ExecuteError:
            self._absent.add(command)
            return []

    async def _ask(self):
        """All that a sample consists of."""
        self.name = (await self._execute('query-name')).get('name', '')
        status = await self._execute('query-status')
        backends = await self._optional('query-remote-memory')
        stores = await self._optional('query-remote-stores')
        jobs = await self._optional('query-jobs')
        stats = await self._optional('query-stats', {
            'target': 'vm', 'providers': [{'provider': 'remote-memory'}]})
        attach_histograms(backends, stats)
        return {'status': status['status'], 'backends': backends,
                'stores': merge_stores(stores),
                'jobs': attach_backends(
                    [job for job in jobs
                     if job['type'].startswith(JOB_PREFIX)], backends)}
