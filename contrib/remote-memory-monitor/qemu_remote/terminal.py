"""The screen of qemu-remote-top.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import asyncio
import time

import urwid

from . import lines, units
from .machine import MachineError

# By names of the terminal, so that they fit its background.
PALETTE = [
    ('head', 'black', 'light cyan'), ('foot', 'black', 'light gray'),
    ('key', 'dark red', 'light gray'), ('message', 'default,bold', 'default'),
    ('vm', 'default,bold', 'default'), ('name', 'default,bold', 'default'),
    ('label', 'dark gray', 'default'), ('value', 'default', 'default'),
    ('spark', 'dark cyan', 'default'), ('good', 'dark green', 'default'),
    ('warn', 'brown', 'default'), ('bad', 'light red,bold', 'default'),
    ('ram resident', 'dark blue', 'default'),
    ('ram standby', 'dark cyan', 'default'),
    ('ram in flight', 'dark green', 'default'),
    ('ram remote', 'brown', 'default'),
    ('ram source', 'dark magenta', 'default'),
    ('ram zero', 'dark gray', 'default'),
]

KEYS = (('↑↓', 'select'), ('+ -', 'cache by a sixteenth'),
        ('=', 'cache size'), ('q', 'quit'))


class Block(urwid.Widget):
    """Lines that are made anew for each drawing."""

    _sizing = frozenset(['flow'])

    def __init__(self, make, selectable=False):
        super().__init__()
        self.make = make
        self._selectable = selectable

    def _text(self, size, focus):
        markup = []
        for line in self.make(size[0], focus):
            markup += [*line, '\n']
        return urwid.Text(markup[:-1] or '', wrap='clip')

    def rows(self, size, focus=False):
        """How many lines there are."""
        return self._text(size, focus).rows(size, focus)

    def render(self, size, focus=False):
        """Draw them."""
        return urwid.CompositeCanvas(self._text(size, focus).render(size))

    def keypress(self, _size, key):
        """Keys are for the whole screen."""
        return key


class Prompt(urwid.Edit):
    """A line to type a size in."""

    def __init__(self, caption, done):
        super().__init__(('key', caption))
        self.done = done

    def keypress(self, size, key):
        """Enter and Escape end it."""
        if key in ('enter', 'esc'):
            self.done(self.edit_text if key == 'enter' else None)
            return None
        return super().keypress(size, key)


class Screen:
    """All that is seen, of what a Watch knows."""

    def __init__(self, watch, interval):
        self.watch = watch
        self.interval = interval
        self.message = ''
        self.walker = urwid.SimpleFocusListWalker([])
        self.blocks = {}
        self.head = urwid.Text('', wrap='clip')
        self.foot = urwid.Text('')
        keys = [part for key, what in KEYS
                for part in (('key', f' {key} '), f'{what}  ')]
        self.keys = urwid.AttrMap(urwid.Text(keys, wrap='clip'), 'foot')
        self.frame = urwid.Frame(
            urwid.ListBox(self.walker), urwid.AttrMap(self.head, 'head'))
        self._show_keys()

    # --- what is drawn -----------------------------------------------------

    def refresh(self):
        """Show the last samples."""
        changes = self.watch.now()
        self.head.set_text(
            f' qemu-remote-top   VMs: {len(changes)}   '
            f'every {self.interval:g} s   {time.strftime("%H:%M:%S")}')
        chosen = self.selected()
        blocks = {}
        for address, change in changes.items():
            self._add_vm(blocks, address, change)
        if not changes:
            blocks['none'] = Block(lambda *_: [[('label', 'no VM is there')]])
        self.blocks = blocks
        self.walker[:] = blocks.values()
        self._select(chosen)
        self._show_message()

    def _add_vm(self, blocks, address, change):
        history = self.watch.histories[address]
        # With the first backend, so that it is seen when that is selected
        head = [lines.vm_line(change.after)]
        for backend in change.after.backends:
            blocks[address, backend['id']] = Block(
                lambda width, focus, head=head, backend=backend: [
                    *head, *lines.backend_lines(
                        backend, change.backend(backend['id']), history,
                        width, focus)], selectable=True)
            head = []
        if head:
            blocks[address] = Block(lambda *_: head)
        blocks[address, None] = Block(
            lambda width, _: [*lines.tail_lines(change, width), []])

    def _show_message(self):
        text = self.message
        if not text and self.watch.events:
            event = self.watch.events[-1]
            moment = time.strftime('%H:%M:%S', time.localtime(event.time))
            text = f'{moment} {event.vm}: {event.text}'
        self.foot.set_text(('message', ' ' + text))

    def say(self, text):
        """Show a message until the next key."""
        self.message = text
        self._show_message()

    def _show_keys(self):
        self.frame.footer = urwid.Pile([self.foot, self.keys])
        self.frame.focus_position = 'body'

    # --- the selected backend ----------------------------------------------

    def selected(self):
        """Address of the VM and id of the backend that is selected, or
        None."""
        focus = self.walker.get_focus()[0]
        return next((key for key, block in self.blocks.items()
                     if block is focus and block.selectable()), None)

    def _select(self, wanted):
        keys = list(self.blocks)
        if wanted not in self.blocks:
            wanted = next((key for key, block in self.blocks.items()
                           if block.selectable()), keys[0])
        self.walker.set_focus(keys.index(wanted))

    def selected_backend(self):
        """What is known of the selected backend, or None."""
        chosen = self.selected()
        if not chosen:
            return None
        address, name = chosen
        return self.watch.now()[address].after.backend(name)

    def ask_size(self, done):
        """Let the user type a size; done(text), or done(None)."""
        def finish(text):
            self._show_keys()
            done(text)
        backend = self.selected_backend()
        caption = f" cache size of {backend['id']} " \
                  f"(is {units.size(backend['cache-size'])}): "
        self.frame.footer = urwid.Pile([Prompt(caption, finish), self.keys])
        self.frame.focus_position = 'footer'


class Top:
    """The interactive program."""

    def __init__(self, watch, interval):
        self.watch = watch
        self.interval = interval
        self.screen = Screen(watch, interval)
        self.loop = None
        self.wake = asyncio.Event()
        self.tasks = set()
        self.resizing = asyncio.Lock()
        self.left = False

    def run(self, loop):
        """Show the screen until the user has seen enough."""
        self.loop = urwid.MainLoop(
            self.screen.frame, PALETTE, handle_mouse=False,
            event_loop=urwid.AsyncioEventLoop(loop=loop),
            unhandled_input=self.key)
        self._start(self.poll(), loop)
        try:
            self.loop.run()
        finally:
            # That of urwid would stop the loop
            loop.set_exception_handler(None)
            self.left = True
            for task in self.tasks:
                task.cancel()
            loop.run_until_complete(
                asyncio.gather(*self.tasks, return_exceptions=True))

    def _start(self, work, loop):
        """Run something beside the screen. An exception ends the program,
        in sight."""
        def done(task):
            self.tasks.discard(task)
            if not task.cancelled() and task.exception():
                raise task.exception()
        task = loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(done)

    def _draw(self):
        if self.loop.screen.started:    # not if the user has just left
            self.loop.draw_screen()

    async def poll(self):
        """Look, and look again, until the user has seen enough."""
        # Not only by being cancelled: wait_for() may take that for an answer
        while not self.left:
            await self.watch.poll()
            self.screen.refresh()
            self._draw()
            self.wake.clear()
            try:
                await asyncio.wait_for(self.wake.wait(), self.interval)
            except asyncio.TimeoutError:
                pass

    def key(self, key):
        """A key that nothing on the screen has taken."""
        self.screen.say('')
        if key in ('q', 'Q', 'ctrl c'):
            raise urwid.ExitMainLoop
        if key in ('+', '-', '=') and not self.screen.selected_backend():
            self.screen.say('no backend is selected')
        elif key == '=':
            self.screen.ask_size(self._typed)
        elif key in ('+', '-'):
            self._resize(lambda backend: units.step(
                backend['cache-size'], backend['size'], key == '+'))

    def _typed(self, text):
        if not text:
            return
        try:
            size = units.parse_size(text)
        except ValueError as error:
            self.screen.say(str(error))
        else:
            self._resize(lambda _: size)

    def _resize(self, new_size):
        self._start(self.set_size(self.screen.selected(), new_size),
                    asyncio.get_running_loop())

    async def set_size(self, chosen, new_size):
        """Set the size that new_size() makes of the present one. One after
        the other: each key counts from where the one before it led to."""
        address, name = chosen
        async with self.resizing:
            machine = self.watch.fleet.machines.get(address)
            backend = self.watch.now()[address].after.backend(name) \
                if machine else None
            if not backend:
                self.screen.say(f'{name} is gone')
                return
            size = new_size(backend)
            try:
                await machine.set_cache_size(name, size)
            except MachineError as error:
                self.screen.say(str(error))
            else:
                self.screen.say(f'{name}: cache of {units.size(size)} asked '
                                'for')
                backend['cache-size'] = size
            self._draw()
            self.wake.set()
