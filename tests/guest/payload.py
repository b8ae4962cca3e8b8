"""The boot sector guest, see payload.S.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import shutil
import subprocess

from lib import ROOT, Skip, require


def make_payload(directory, **symbols):
    """Assemble the boot sector, with values for its symbols."""
    for tool in ('as', 'ld'):
        if not shutil.which(tool):
            raise Skip('binutils is not installed: run scripts/deps guest')
    source = ROOT / 'tests' / 'guest' / 'payload.S'
    code, image = directory / 'payload.o', directory / 'payload.bin'
    define = [word for name, value in symbols.items()
              for word in ('--defsym', f'{name}={value}')]
    subprocess.run(['as', '--32', *define, '-o', code, source], check=True)
    subprocess.run(['ld', '-m', 'elf_i386', '-Ttext', '0x7c00',
                    '--oformat', 'binary', '-o', image, code], check=True)
    require(image.stat().st_size == 512, 'not the size of a boot sector')
    return image


def boot_from(image, bus='ide'):
    """Command line for a disk image that is left as it is, to boot from if it
    is on the IDE bus."""
    return ['-drive', f'file={image},format=raw,if={bus},snapshot=on']
