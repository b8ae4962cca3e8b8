"""Find the QMP library: that of the system, or that of QEMU's source tree.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve()


def is_there():
    """Whether "import qemu.qmp" works."""
    try:
        return importlib.util.find_spec('qemu.qmp') is not None
    except ModuleNotFoundError:
        return False


def find_qmp():
    """Make "import qemu.qmp" work. An installation has it where it has this
    package; the source tree has it in QEMU's own, below build/."""
    if is_there():
        return
    for parent in HERE.parents:
        place = parent / 'build' / 'qemu' / 'python'
        if (place / 'qemu' / 'qmp' / 'qmp_client.py').is_file():
            sys.path.append(str(place))
            return
    raise ImportError('there is no QMP library: run ./configure, or install '
                      'the Python package qemu.qmp')
