"""A network that lies about what a memcached server says.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from proxy import Proxy


class Liar(Proxy):
    """Passes the text protocol on, and can be told to spoil the pages in
    answers to gets. What the server holds stays right, so that all is well
    when the liar is honest again.

    It lies to one get in so many: another try gets the truth, unless it lies
    to each."""

    def __init__(self, target):
        self.lie = None
        self.one_in = 1
        self.gets = 0
        self.first = {}
        self.answered = [(b'', b''), (b'', b'')]
        super().__init__(target)

    def tell(self, lie, one_in=1):
        """From now on lie in this way: 'corrupted', 'swapped', 'replayed', or
        None for not at all."""
        self.one_in = one_in
        self.lie = lie

    def requests(self, client):
        """Pass everything on, and remember what was first put of each page,
        for the day when it is an old version."""
        with client.makefile('rb') as stream:
            for line in stream:
                data = b''
                words = line.split()
                if words[:1] == [b'set']:
                    data = stream.read(int(words[4]) + 2)
                    self.first.setdefault(words[1], data)
                yield line + data

    def answers(self, server):
        """Pass everything on but for the lies."""
        with server.makefile('rb') as stream:
            for line in stream:
                data = b''
                words = line.split()
                if words[:1] == [b'VALUE']:
                    truth = stream.read(int(words[3]) + 2)
                    data = self._answer(words[1], truth)
                yield from self.delayed(line + data)

    def _answer(self, key, truth):
        self.gets += 1
        self._keep(key, truth)
        if not self.lie or self.gets % self.one_in:
            return truth
        return getattr(self, f'_{self.lie}')(key, truth)

    def _keep(self, key, truth):
        """Have two pages at hand, so that one of them is another."""
        kept = [pair for pair in self.answered if pair[0] != key]
        self.answered = [(key, truth), kept[0]]

    @staticmethod
    def _corrupted(_, truth):
        return truth[:100] + bytes([truth[100] ^ 1]) + truth[101:]

    def _swapped(self, _, truth):
        """Of the same length, since that is no lie to look for here."""
        other = self.answered[1][1]
        return other if len(other) == len(truth) else truth

    def _replayed(self, key, truth):
        return self.first.get(key, truth)
