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
        self.left = None
        self.is_stopped = threading.Event()
        super().__init__(target)

    def stop_after(self, size):
        """Let that many bytes more through, and nothing after them."""
        self.is_stopped.clear()
        self.left = size

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
        if self.left is not None:
            yield data[:self.left]
            data, self.left = data[self.left:], max(self.left - len(data), 0)
            if not self.left:
                self.left = None
                self.pause()
                self.is_stopped.set()
        yield data
