"""A small QMP client over a connected socket.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import select
import time


class QmpError(Exception):
    """QEMU refused a command."""


class QmpTimeout(Exception):
    """QEMU did not answer in time."""


class QmpClosed(Exception):
    """QEMU went away."""


class Qmp:
    """Commands and events, in one thread: events are kept while a command
    waits for its answer, and handed out by wait_event()."""

    def __init__(self, sock, timeout=60, oob=False):
        self.sock = sock
        self.timeout = timeout
        self.pending = b''
        self.events = []
        self.last_id = 0
        self._receive(lambda message: 'QMP' in message, timeout)
        self.command('qmp_capabilities', enable=['oob'] if oob else [])

    def command(self, name, timeout=None, **arguments):
        """Run a command and return what it returns; an underscore in the name
        of an argument stands for a hyphen."""
        return self.answer(self.send(name, **arguments), timeout)

    def urgent(self, name, **arguments):
        """The same for a command that QEMU runs at once, even if its main
        thread waits for something; if that was asked for at first."""
        return self.answer(self.send(name, 'exec-oob', **arguments))

    def send(self, name, how='execute', **arguments):
        """Send a command; returns what answer() is to be told."""
        self.last_id += 1
        request = {how: name, 'id': self.last_id,
                   'arguments': {key.replace('_', '-'): value
                                 for key, value in arguments.items()}}
        try:
            self.sock.sendall(json.dumps(request).encode() + b'\n')
        except OSError as error:
            raise QmpClosed(f'{name}: {error}') from error
        return self.last_id, name

    def answer(self, sent, timeout=None):
        """What a command returns that was sent."""
        number, name = sent
        answer = self._receive(lambda m: m.get('id') == number,
                               timeout or self.timeout, name)
        if 'error' in answer:
            raise QmpError(f"{name}: {answer['error']['desc']}")
        return answer['return']

    def hmp(self, line):
        """Run a command of the human monitor and return its text."""
        return self.command('human-monitor-command', command_line=line)

    def take_event(self, name, match=lambda data: True):
        """An event that has arrived, or None; it is not handed out again."""
        self._read(0)
        for event in self.events:
            if event['event'] == name and match(event.get('data', {})):
                self.events.remove(event)
                return event.get('data', {})
        return None

    def wait_event(self, name, timeout, match=lambda data: True):
        """Wait for an event, or take one that has arrived."""
        deadline = time.monotonic() + timeout
        while True:
            data = self.take_event(name, match)
            if data is not None:
                return data
            if time.monotonic() > deadline:
                seen = [event['event'] for event in self.events]
                raise QmpTimeout(f'no event {name} in {timeout} s, '
                                 f'only {seen}')
            self._read(1)

    def take_events(self):
        """All events that have arrived; they are not handed out again."""
        self._read(0)
        events, self.events = self.events, []
        return events

    def forget_events(self):
        """Let go of the events that nobody has waited for."""
        self._read(0)
        self.events.clear()

    def _receive(self, wanted, timeout, name='greeting'):
        """Read until a message is wanted; keep the events on the way."""
        deadline = time.monotonic() + timeout
        while True:
            for message in self._messages():
                if wanted(message):
                    return message
            if time.monotonic() > deadline:
                raise QmpTimeout(f'{name}: no answer in {timeout} s')
            self._fill(1)

    def _read(self, wait):
        """Collect events for at most wait seconds."""
        self._fill(wait)
        for _ in self._messages():
            pass

    def _messages(self):
        """Take whole messages out of the buffer, sort out the events."""
        while b'\n' in self.pending:
            line, self.pending = self.pending.split(b'\n', 1)
            message = json.loads(line)
            if 'event' in message:
                self.events.append(message)
            else:
                yield message

    def _fill(self, wait):
        if select.select([self.sock], [], [], wait)[0]:
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b''
            if not data:
                raise QmpClosed('QEMU closed the connection')
            self.pending += data
