"""qemu-remote-exporter, and what it serves.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import signal
import subprocess
import urllib.request

import prometheus_client.parser

import tap


class Exporter:
    """qemu-remote-exporter, until the block ends."""

    def __init__(self, *words):
        self.address = self.status = None
        self.process = subprocess.Popen(    # pylint: disable=R1732
            [tap.MONITOR / 'qemu-remote-exporter', '--listen', '127.0.0.1:0',
             '--timeout', '60', *words], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        self.address = line.split()[-1]
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.status = self.process.wait(60)
        self.process.stdout.close()

    def get(self, path='/metrics', accept='text/plain'):
        """The text of a page."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(
            self.address.replace('/metrics', path),
            headers={'Accept': accept})
        with opener.open(request, timeout=120) as reply:
            return reply.read().decode()

    def families(self):
        """The metrics by name, as the classic format has them."""
        return {family.name: family for family in prometheus_client.parser
                .text_string_to_metric_families(self.get())}


def values(families, name):
    """The values of a metric, by its labels."""
    found = {}
    for family in families.values():
        for sample in family.samples:
            if sample.name == name:
                labels = frozenset(sample.labels.items())
                if labels in found:
                    raise AssertionError(f'{name}{sample.labels} twice')
                found[labels] = sample.value
    return found


def value(families, name, **labels):
    """The value of one of them."""
    return values(families, name)[frozenset(labels.items())]
