"""Which QMP sockets are meant by the words of a command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import glob
import os
import re
import stat

# "host:port", also with the brackets that IPv6 takes. What has a slash is
# the path of a socket.
TCP = re.compile(r'(?:tcp:)?(\[[^]/]+\]|[^:/]+):(\d+)$')


def _sockets_in(directory):
    try:
        paths = [os.path.join(directory, name)
                 for name in sorted(os.listdir(directory))]
    except OSError:
        return []
    return [path for path in paths if _is_socket(path)]


def _is_socket(path):
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def expand(word):
    """The addresses that a word stands for now: a path, or host and port.

    A directory stands for the sockets in it, a pattern for those that match.
    Anything else is itself, whether there is such a socket or not.
    """
    tcp = TCP.match(word)
    path = word[len('unix:'):] if word.startswith('unix:') else word
    if tcp and path == word:
        return [(tcp[1].strip('[]'), int(tcp[2]))]
    if os.path.isdir(path):
        return _sockets_in(path)
    if glob.has_magic(path) and not os.path.exists(path):
        return [found for found in sorted(glob.glob(path))
                if _is_socket(found)]
    return [path]


def expand_all(words):
    """The addresses of all words, each once."""
    return list(dict.fromkeys(address for word in words
                              for address in expand(word)))


def text(address):
    """An address for people."""
    if isinstance(address, str):
        return address
    host, port = address
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
