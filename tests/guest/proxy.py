"""A network that can fail: TCP on loopback, passed on to a Unix socket.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import socket
import threading
import time

# Read at once; small enough that a pause stops a stream in its middle.
PIECE_BYTES = 65536


class Proxy:
    """Passes bytes on, with a thread for each direction of a connection."""

    def __init__(self, target):
        self.target = str(target)
        self.port = 0
        self.listener = None
        self.sockets = set()
        self.lock = threading.Lock()
        self.flowing = threading.Event()
        self.flowing.set()
        self.delay = 0
        self.restore()

    @property
    def server(self):
        """What a store is told to connect to."""
        return f'127.0.0.1:{self.port}'

    def pause(self):
        """Connections stay up, and nothing gets through."""
        self.flowing.clear()

    def resume(self):
        """What was held back goes on."""
        self.flowing.set()

    def slow(self, seconds):
        """From now on, hold each piece of an answer back for so long."""
        self.delay = seconds

    def cut(self):
        """Break every connection and refuse new ones."""
        _close(self.listener)
        with self.lock:
            for sock in self.sockets:
                _close(sock)
            self.sockets.clear()

    def restore(self):
        """Accept connections, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(('127.0.0.1', self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self.listener = listener
        _start(self._accept_all, listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.resume()
        self.cut()

    def _accept_all(self, listener):
        with contextlib.suppress(OSError):
            while True:
                self._connect(listener.accept()[0])

    def _connect(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
        except OSError:
            _close(client)
            return
        with self.lock:
            self.sockets |= {client, server}
        _start(self._pump, self.requests, client, server)
        _start(self._pump, self.answers, server, client)

    def _pump(self, pieces, source, target):
        with contextlib.suppress(OSError, ValueError):
            for data in pieces(source):
                self.flowing.wait()
                target.sendall(data)
        _close(source)
        _close(target)

    def requests(self, client):
        """What goes on to the server of what comes from a client."""
        return _pieces(client)

    def answers(self, server):
        """What goes on to the client of what comes from the server."""
        for data in _pieces(server):
            yield from self.delayed(data)

    def delayed(self, data):
        """A piece of an answer, when its time has come."""
        time.sleep(self.delay)
        yield data


def _pieces(sock):
    while data := sock.recv(PIECE_BYTES):
        yield data


def _start(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _close(sock):
    """Close it under a thread that waits for it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
