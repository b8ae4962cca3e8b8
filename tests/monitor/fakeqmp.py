"""A QMP server that says what a test wants, and what VMs would say.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import tempfile
import threading

MIB = 1 << 20

# All members that only grow.
COUNTERS = ('faults', 'refaults', 'zero-fills', 'fetched-pages',
            'received-pages', 'written-pages', 'evicted-pages', 'clean-drops',
            'zero-drops', 'discarded-pages', 'pinned-skips',
            'over-limit-pages', 'prefetched-pages', 'prefetch-probes',
            'prefetch-hits', 'visited-pages', 'errors', 'fault-time-ns')

GREETING = {'QMP': {'version': {'qemu': {'major': 10, 'minor': 0, 'micro': 0},
                                'package': ''}, 'capabilities': []}}


def backend(name='ram0', **figures):
    """An entry of query-remote-memory."""
    entry = {'id': name, 'size': 64 * MIB, 'cache-size': 16 * MIB,
             'resident-size': 14 * MIB, 'standby-size': MIB,
             'in-flight-size': MIB, 'remote-size': 40 * MIB,
             'zero-size': 9 * MIB, 'source-size': 0, 'metadata-size': 400000,
             'store': 's0', 'state': 'running',
             **dict.fromkeys(COUNTERS, 0)}
    entry.update({key.replace('_', '-'): value
                  for key, value in figures.items()})
    return entry


def store(name='s0', **figures):
    """An entry of query-remote-stores."""
    entry = {'id': name, 'type': 'remote-store-ram', 'status': 'connected',
             'pages': 0, 'bytes-read': 0, 'bytes-written': 0, 'errors': 0}
    entry.update({key.replace('_', '-'): value
                  for key, value in figures.items()})
    return entry


def counted(*pairs):
    """A log2 histogram of 40 buckets, from pairs of bucket and count."""
    counts = [0] * 40
    for bucket, count in pairs:
        counts[bucket] = count
    return counts


class Refusal(Exception):
    """An error reply: its class, and what it says."""

    def __init__(self, text, kind='GenericError'):
        super().__init__(text)
        self.kind = kind


class HangUp(Exception):
    """The VM goes away instead of answering."""


def requests(sock):
    """The requests of a client, which no newline need end."""
    text, decoder = '', json.JSONDecoder()
    while True:
        data = sock.recv(65536)
        if not data:
            return
        text += data.decode()
        while text := text.lstrip():
            try:
                request, end = decoder.raw_decode(text)
            except ValueError:
                break           # not all of it has come
            text = text[end:]
            yield request


class FakeQemu:
    """A QMP server on a UNIX socket, until the block ends.

    Replies by command: a value, an exception to be raised, or a function of
    the arguments that returns a value. What has no reply is no command.
    """

    def __init__(self, path, name='vm', backends=(), stores=(), **replies):
        self.path = str(path)
        self.replies = {
            'qmp_capabilities': {}, 'query-name': {'name': name},
            'query-status': {'status': 'running', 'running': True},
            'query-jobs': [], 'query-remote-memory': list(backends),
            'query-remote-stores': list(stores),
            'remote-memory-set-cache-size': {},
            **{key.replace('_', '-'): value
               for key, value in replies.items()}}
        self.log = []           # pairs of a command and its arguments
        self.clients = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self._thread(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _thread(work, *arguments):
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def close(self):
        """Go away, with the socket."""
        for sock in [self.listener, *self.clients]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def commands(self, name):
        """The arguments of all commands of this name."""
        return [arguments for command, arguments in list(self.log)
                if command == name]

    def event(self, name, **data):
        """Send an event to all clients."""
        message = {'event': name, 'data': {
            key.replace('_', '-'): value for key, value in data.items()},
            'timestamp': {'seconds': 1795219200, 'microseconds': 250000}}
        for client in self.clients:
            self._send(client, message)

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.clients.append(client)
            self._thread(self._serve, client)

    @staticmethod
    def _send(client, message):
        with contextlib.suppress(OSError):
            client.sendall(json.dumps(message).encode() + b'\r\n')

    def _serve(self, client):
        self._send(client, GREETING)
        try:
            for request in requests(client):
                reply = self._reply(request)
                self._send(client, {**reply, 'id': request.get('id')})
        except (HangUp, OSError):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _reply(self, request):
        command = request['execute']
        arguments = request.get('arguments', {})
        self.log.append((command, arguments))
        reply = self.replies.get(command, Refusal(
            f'The command {command} has not been found', 'CommandNotFound'))
        try:
            if isinstance(reply, Exception):
                raise reply
            value = reply(arguments) if callable(reply) else reply
            return {'return': value}
        except Refusal as refusal:
            return {'error': {'class': refusal.kind, 'desc': str(refusal)}}


class Silent:
    """A socket whose QMP server is busy with another client: it never says a
    word until it ends."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def hang_up(self):
        """End all connections, and have no more."""
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
        self.listener.close()


class FakeVms:  # pylint: disable=no-member
    """For a test case: fake VMs with their sockets in a directory."""

    def setUp(self):            # pylint: disable=invalid-name
        """Make the directory."""
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='rm-top-'))
        self.addCleanup(shutil.rmtree, self.directory)

    def fake(self, name='vm', file='vm.qmp', **options):
        """A VM, with one backend and its store unless told otherwise."""
        options.setdefault('backends', [backend()])
        options.setdefault('stores', [store()])
        qemu = FakeQemu(self.directory / file, name, **options)
        self.addCleanup(qemu.close)
        return qemu
