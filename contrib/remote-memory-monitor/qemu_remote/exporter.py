"""qemu-remote-exporter: metrics of virtual machines for Prometheus.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import asyncio
import re
import signal
import socket
import socketserver
import sys
import threading
import wsgiref.simple_server

from .arguments import add_common
from .fleet import Fleet
from .sockets import text

try:
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from .metrics import families_of
except ModuleNotFoundError as missing:
    sys.exit(f'qemu-remote-exporter: {missing}: install '
             'python3-prometheus-client')

DESCRIPTION = '''Serve metrics of virtual machines with remote memory by HTTP,
for Prometheus. The VMs are asked whenever the metrics are.'''

LISTEN = '127.0.0.1:9976'


def listen_address(word):
    """Host and port."""
    match = re.fullmatch(r'(\[[^]]+\]|[^:]*):(\d+)', word)
    if not match or int(match[2]) > 65535:
        raise argparse.ArgumentTypeError(f'"{word}" is not HOST:PORT')
    return match[1].strip('[]'), int(match[2])


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(prog='qemu-remote-exporter',
                                     description=DESCRIPTION)
    parser.add_argument('--listen', type=listen_address, default=LISTEN,
                        metavar='HOST:PORT',
                        help=f'where to serve (default: {LISTEN}); port 0 '
                        'is any that is free')
    add_common(parser)
    return parser.parse_args(arguments)


class Collector:  # pylint: disable=too-few-public-methods
    """Asks the VMs, in the event loop, when a thread that serves HTTP wants
    to know."""

    def __init__(self, fleet, loop):
        self.fleet = fleet
        self.loop = loop

    async def _samples(self):
        samples = await self.fleet.samples()
        self.fleet.take_events()        # nobody looks at them
        return samples.values()

    def collect(self):
        """The metrics of now."""
        work = asyncio.run_coroutine_threadsafe(self._samples(), self.loop)
        return families_of(work.result())


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    """Without a line for each request."""

    def log_message(self, *_):          # pylint: disable=arguments-differ
        """Say nothing."""


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A client that is slow keeps no other one waiting."""

    daemon_threads = True


class Server6(Server):
    """The same for IPv6."""

    address_family = socket.AF_INET6


def only_metrics(metrics):
    """An application with one page."""
    def application(environ, start_response):
        if environ.get('PATH_INFO') == '/metrics':
            return metrics(environ, start_response)
        start_response('404 Not Found', [('Content-Type', 'text/plain')])
        return [b'The metrics are at /metrics.\n']
    return application


def serve(address, collector):
    """Begin to serve; returns the server."""
    registry = CollectorRegistry()
    registry.register(collector)
    server = wsgiref.simple_server.make_server(
        *address, only_metrics(make_wsgi_app(registry)),
        Server6 if ':' in address[0] else Server, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


async def run(options):
    """Serve until a signal comes."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    fleet = Fleet(options.sockets, options.timeout)
    server = serve(options.listen, Collector(fleet, loop))
    where = text(server.server_address[:2])
    print(f'qemu-remote-exporter: http://{where}/metrics', flush=True)
    await stop.wait()
    server.shutdown()
    await fleet.close()


def main(arguments=None):
    """The program."""
    options = parse(arguments)
    try:
        asyncio.run(run(options))
    except OSError as error:
        sys.exit(f'qemu-remote-exporter: {error}')
