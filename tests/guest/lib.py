"""What the guest tests share: results, processes, and the virtual machine.

Environment:
  QEMU      the emulator (default: build/qemu-system-x86_64)
  RM_PLAIN  ordinary RAM instead of remote memory: tries the tests' own parts;
            what is asserted of remote memory is left out
  RM_ACCEL  how the guest's CPU is made (default: tcg,thread=multi)
  RM_KEEP   keep the working directories

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from console import Console
from qmp import Qmp, QmpClosed, QmpError, QmpTimeout

KIB = 1 << 10
MIB = 1 << 20
PAGE = 4096

# The product's promise: a guest goes on with no more than this.
TINY_CACHE = 180 * PAGE

# Longest wait for one step of a guest: no verdict on speed, but an end to a
# test that hangs. A busy machine is a few times slower, not a hundred times.
STEP_SECONDS = 300

# How often the monitor is asked while something is waited for.
POLL_SECONDS = 0.05

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUEST = ROOT / 'build' / 'guest'
QEMU = os.environ.get('QEMU', str(ROOT / 'build' / 'qemu-system-x86_64'))
ACCEL = os.environ.get('RM_ACCEL', 'tcg,thread=multi')
PLAIN = bool(os.environ.get('RM_PLAIN'))

# An emulator that runs from its build tree looks for firmware only there.
FIRMWARE = ['/usr/share/qemu', '/usr/share/seabios', '/usr/lib/ipxe/qemu']

# Stalls are what these guests are made for: no watchdog may mistake them for
# an error. A panic becomes a reset, which ends the machine.
KERNEL_ARGS = ('console=ttyS0 quiet nokaslr mitigations=off '
               'cryptomgr.notests tsc=reliable no_timer_check nowatchdog '
               'rcupdate.rcu_cpu_stall_suppress=1 panic=1 oops=panic')


class Failure(Exception):
    """The product did something wrong."""


class Skip(Exception):
    """This machine cannot run the test."""


def require(condition, message):
    """Fail with the message unless the condition holds."""
    if not condition:
        raise Failure(message)


# --- results ---------------------------------------------------------------

class Tap:
    """Results in the Test Anything Protocol, one case after the other."""

    def __init__(self):
        self.count = 0
        self.failed = []

    def note(self, text):
        """Say something that is not a result."""
        for line in str(text).splitlines():
            print('#', line, flush=True)

    @contextlib.contextmanager
    def case(self, name):
        """Run the block as one case. A failure is reported and does not
        keep later cases from running."""
        self.count += 1
        try:
            yield
        except Skip as skip:
            print(f'ok {self.count} - {name} # SKIP {skip}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            self.failed.append(name)
            print(f'not ok {self.count} - {name}', flush=True)
            self.note(error)
            if not isinstance(error, Failure):
                self.note(traceback.format_exc())
        else:
            print(f'ok {self.count} - {name}', flush=True)

    def finish(self):
        """Print the plan and, as the last line, what failed; exit."""
        print(f'1..{self.count}', flush=True)
        if self.failed:
            self.note('failed: ' + '; '.join(self.failed))
        sys.exit(1 if self.failed else 0)


def main(run, prepare=None):
    """Run a test: run(tap) makes the cases. Exit with 0, 1 or 77 (skipped,
    the reason in the last line)."""
    tap = Tap()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        (prepare or make_all)()
        run(tap)
    except Skip as skip:
        print(f'1..0 # SKIP\n{skip}', flush=True)
        sys.exit(77)
    except KeyboardInterrupt:
        sys.exit(130)
    tap.finish()


# --- processes -------------------------------------------------------------

def _die_with_parent():
    """For the child: no process of ours outlives the test, however it ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def spawn(arguments, setup=None, **options):
    """Start a process in a group of its own, so that Ctrl-C reaches only the
    test, which then cleans up; setup() runs in the child."""
    def child():
        _die_with_parent()
        if setup:
            setup()
    return subprocess.Popen(arguments, start_new_session=True,
                            preexec_fn=child, **options)


def reap(process, seconds):
    """Wait for a process of ours; kill it, and only it, when time is up.
    Returns whether it ended by itself."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def free_port():
    """A TCP port on loopback that nobody uses."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def work_directory():
    """A directory for sockets and disks, short enough for a socket's path."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='rm-guest-'))
    try:
        yield path
    finally:
        if not os.environ.get('RM_KEEP'):
            shutil.rmtree(path, ignore_errors=True)


# --- what a machine needs --------------------------------------------------

def make_all():
    """Check the emulator and make the guest, if that has not been done."""
    check_emulator()
    make_guest()


def check_emulator():
    """Skip if QEMU has not been built or cannot do here what it is for."""
    if not os.access(QEMU, os.X_OK):
        raise Skip(f'{QEMU} is not built')
    if not PLAIN:
        probe_remote_memory()


def make_guest(script=ROOT / 'tests/guest/build-guest'):
    """Make the guest, if that has not been done."""
    done = subprocess.run([script], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode:
        reason = (done.stderr.splitlines() or [f'{script} failed'])[-1]
        raise Skip(reason)


def probe_remote_memory():
    """Skip if this kernel has not got what the backend stands on."""
    done = subprocess.run(
        [QEMU, '-machine', 'none', '-display', 'none', '-nodefaults',
         '-object', 'memory-backend-remote,id=probe,size=16M',
         '-monitor', 'stdio'],
        input='quit\n', capture_output=True, text=True, check=False,
        timeout=STEP_SECONDS)
    message = done.stderr.strip()
    if done.returncode and re.search('userfaultfd|UFFD', message):
        raise Skip(message.splitlines()[0])
    require(done.returncode == 0, f'no memory-backend-remote: {message}')


def store_objects(store, numbers):
    """The objects that a store takes, itself last."""
    entry = {'id': f's{next(numbers)}', **store}
    objects = []
    if 'store' in store:
        objects += store_objects(store['store'], numbers)
        entry['store'] = objects[-1]['id']
    if 'stores' in store:
        entry['stores'] = []
        for behind in store['stores']:
            objects += store_objects(behind, numbers)
            entry['stores'].append(objects[-1]['id'])
    return [*objects, entry]


def remote_ram(size, cache, store, **properties):
    """Command line for guest RAM of size bytes with a cache of cache bytes.
    The store is a dictionary with the properties of an object, in which the
    stores behind it can be other such dictionaries; or None for the backend's
    own. Its id is s0, unless it says another."""
    ram = {'qom-type': 'memory-backend-remote', 'id': 'ram0', 'size': size,
           **properties}
    if cache is not None:
        ram['cache-size'] = cache
    objects = [ram]
    if store:
        stores = store_objects(store, itertools.count())
        ram['store'] = stores[-1]['id']
        objects = [*stores, ram]
    return [word for entry in objects
            for word in ('-object', json.dumps(entry))]


def plain_ram(size):
    """The same with ordinary memory."""
    return ['-object', f'memory-backend-ram,id=ram0,size={size}']


def firmware():
    """Where to look for firmware."""
    return [word for path in FIRMWARE if os.path.isdir(path)
            for word in ('-L', path)]


def guest_kernel(tasks, params, image=GUEST / 'initramfs.cpio.gz',
                 kernel=GUEST / 'vmlinux'):
    """Command line that boots the test guest; see init for the parameters."""
    words = [KERNEL_ARGS, f'rm.task={tasks}']
    words += [f'rm.{key}={value}' for key, value in params.items()]
    return ['-kernel', str(kernel),
            '-initrd', str(image),
            '-append', ' '.join(words)]


# --- the machine -----------------------------------------------------------

class Machine:
    """A QEMU with its monitor and console, stopped when the block ends.

    It stays when the guest powers off, so that its counters can be read.
    """

    def __init__(self, boot, size=512 * MIB, cache=None, store=None, cpus=1,
                 accel=ACCEL, extra=(), setup=None, plain=PLAIN,
                 board='pc,memory-backend=ram0', **backend):
        self.size = size
        self.cache = cache
        self.plain = plain
        self.peak_local = 0
        ram = plain_ram(size) if plain else remote_ram(size, cache, store,
                                                       **backend)
        self.arguments = [
            QEMU, *firmware(), '-nodefaults', '-no-user-config',
            '-display', 'none', '-no-reboot', '-no-shutdown',
            '-machine', board, '-accel', accel,
            '-smp', str(cpus), '-m', str(size // MIB), *ram, *boot, *extra]
        self._start(setup)

    def _start(self, setup):
        """Connect monitor and console by socket pairs: nothing to wait for,
        nothing to clean up, and an end as soon as QEMU ends."""
        qmp, qmp_peer = socket.socketpair()
        console, console_peer = socket.socketpair()
        fds = (qmp_peer.fileno(), console_peer.fileno())
        wires = ['-chardev', f'socket,id=qmp,fd={fds[0]}',
                 '-mon', 'chardev=qmp,mode=control',
                 '-chardev', f'socket,id=console,fd={fds[1]}',
                 '-serial', 'chardev:console']
        self.log = tempfile.TemporaryFile('w+')
        self.process = spawn(self.arguments + wires, setup, pass_fds=fds,
                             stdin=subprocess.DEVNULL, stdout=self.log,
                             stderr=self.log)
        qmp_peer.close()
        console_peer.close()
        self.console = Console(console)
        try:
            self.qmp = Qmp(qmp)
        except (QmpClosed, QmpTimeout, OSError) as error:
            self.kill()
            raise Failure(f'QEMU does not start: {self.messages()}') from error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception) and not isinstance(error, Skip):
            self._describe()
        self.quit()
        self.log.close()

    def messages(self):
        """What QEMU said on its standard output and error."""
        self.log.seek(0)
        return self.log.read().strip()

    def _describe(self):
        """All that is known at the moment of a failure."""
        tap = Tap()
        tap.note('console:\n' + '\n'.join(self.console.tail()))
        tap.note('QEMU says: ' + self.messages())
        if self.process.poll() is not None:
            tap.note(f'QEMU ended with status {self.process.returncode}')
            return
        try:
            tap.note(f'VM status: {self.status()}')
            memory = self.qmp.command('query-remote-memory')
            tap.note(f'memory: {json.dumps(memory)}')
        except (QmpClosed, QmpTimeout, QmpError) as problem:
            tap.note(f'QMP: {problem}')

    def kill(self):
        """End QEMU at once."""
        self.process.kill()
        self.process.wait()

    def quit(self, seconds=120):
        """End QEMU by its monitor; returns whether that worked."""
        with contextlib.suppress(QmpClosed, QmpTimeout, QmpError):
            self.qmp.command('quit')
        return reap(self.process, seconds)

    def status(self):
        """The run state, such as 'running' or 'io-error'."""
        return self.qmp.command('query-status')['status']

    def wait_status(self, wanted, seconds=STEP_SECONDS):
        """Wait for a run state."""
        status = self.status()
        while status != wanted:
            require(seconds > 0, f'VM is {status}, not {wanted}')
            with contextlib.suppress(QmpTimeout):
                self.qmp.wait_event('STOP', 1)
            seconds -= 1
            status = self.status()

    def wait_until(self, done, what, seconds=STEP_SECONDS):
        """Wait for something, and see that the monitor answers and the guest
        has found no wrong byte meanwhile."""
        deadline = time.monotonic() + seconds
        while not done(self.status()):
            self.console.check()
            require(self.process.poll() is None, 'QEMU has ended')
            require(time.monotonic() < deadline,
                    f'{what}: not in {seconds} s')
            time.sleep(POLL_SECONDS)
        self.console.check()

    def revive(self, done, what):
        """Continue, as often as it takes until something is done. What went
        wrong before the cure may be reported after it."""
        def step(status):
            if status == 'io-error':
                self.qmp.command('cont')
            return status == 'running' and done()
        self.wait_until(step, what)
        self.qmp.forget_events()

    def check_records(self):
        """All records of the pager agree."""
        require(self.plain or
                self.qmp.command('qom-get', path='/objects/ram0',
                                 property='x-consistent'),
                'the records of the pager do not agree')

    def memory(self):
        """What query-remote-memory says of the guest's RAM."""
        if self.plain:
            return {}
        info, = self.qmp.command('query-remote-memory')
        self.peak_local = max(self.peak_local, local_size(info))
        return info

    def set_cache(self, size):
        """Ask for another cache size."""
        if not self.plain:
            self.qmp.command('remote-memory-set-cache-size', id='ram0',
                             cache_size=size)

    def wait_cache(self, size, seconds=STEP_SECONDS):
        """Wait until a cache size has been reached, keep an eye on the guest
        meanwhile; returns the local memory in use then."""
        if self.plain:
            return 0
        for _ in range(seconds):
            self.console.check()
            with contextlib.suppress(QmpTimeout):
                event = self.qmp.wait_event(
                    'REMOTE_MEMORY_CACHE_SIZE_CHANGE', 1,
                    lambda data: data['cache-size'] == size)
                return event['local-size']
        raise Failure(f'cache size {size} not reached in {seconds} s')

    def watch(self, pattern, seconds=STEP_SECONDS, until=lambda info: False):
        """Wait for a pattern on the console and look at the memory every
        second. Ends early, with None, when until(memory) is true."""
        for _ in range(seconds):
            match = self.console.look(pattern, 1)
            if match or until(self.memory()):
                return match
        raise Failure(f'the guest did not say "{pattern}" in {seconds} s')

    def wait_poweroff(self, seconds=STEP_SECONDS):
        """Wait until the guest has switched itself off."""
        data = self.qmp.wait_event('SHUTDOWN', seconds)
        require(data['reason'] == 'guest-shutdown',
                f"the machine went down by {data['reason']}")


def local_size(info):
    """Memory in use on this host, of what query-remote-memory returned."""
    return (info['resident-size'] + info['standby-size'] +
            info['in-flight-size'])


def check_memory(machine, evictions=1, pinned=False):
    """What must be true of a guest's memory at rest, after a run in which no
    more than the cache could be local; but for pages that a disk was reading
    or writing (pinned), which are counted."""
    info = machine.memory()
    if not info:
        return
    total = sum(info[f'{kind}-size']
                for kind in ('resident', 'standby', 'remote', 'zero',
                            'source'))
    require(total == info['size'] == machine.size,
            f"the sizes sum to {total}, not to {info['size']}")
    over = info['over-limit-pages'] * PAGE
    require(machine.peak_local <= machine.cache + over,
            f'{machine.peak_local} bytes were local, more than the cache')
    require(info['cache-size'] == machine.cache, 'the target has changed')
    require(info['evicted-pages'] >= evictions,
            f"only {info['evicted-pages']} evictions")
    require(pinned or not over, 'pages beyond the limit')
    require(info['errors'] == 0, f"{info['errors']} errors")
