"""A connection between two machines that stops after so many bytes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import socket
import threading

from proxy import Proxy

# What the network holds by itself; a small part of any migration.
BUFFER_BYTES = 65536


class Wire(Proxy):
    """Passes a migration on to a Unix socket."""

    def __init__(self, target):
        self.limit = None
        self.passed = 0
        self.is_stopped = threading.Event()
        super().__init__(target)

    def stop_after(self, size):
        """Let that many bytes through, and nothing after them."""
        self.limit = size

    def resume(self):
        """Let everything through."""
        with self.lock:
            self.limit = None
            super().resume()

    def restore(self):
        """Accept connections, with small buffers."""
        super().restore()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                 BUFFER_BYTES)

    @property
    def address(self):
        """Where a migration goes."""
        return f'tcp:{self.server}'

    def requests(self, client):
        """What goes on to the destination."""
        for data in super().requests(client):
            yield from self._limited(data)

    def _limited(self, data):
        """As much as may pass, and the rest when it goes on."""
        limit = self.limit
        if limit is not None and limit <= self.passed + len(data):
            yield data[:limit - self.passed]
            data = data[limit - self.passed:]
            self.passed = limit
            self._stop()
        self.passed += len(data)
        yield data

    def _stop(self):
        """Nothing gets through from now on, unless everything does."""
        with self.lock:
            if self.limit is not None:
                self.pause()
                self.is_stopped.set()
            self.limit = None
