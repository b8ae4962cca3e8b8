"""Boot sector guests, see payload.S and async.S.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import shutil
import subprocess

from lib import ROOT, Skip, require


def make_payload(directory, name='payload', **symbols):
    """Assemble a boot sector, with values for its symbols."""
    for tool in ('as', 'ld'):
        if not shutil.which(tool):
            raise Skip('binutils is not installed: run scripts/deps guest')
    sources = ROOT / 'tests' / 'guest'
    code, image = directory / f'{name}.o', directory / f'{name}.bin'
    define = [word for name, value in symbols.items()
              for word in ('--defsym', f'{name}={value}')]
    subprocess.run(['as', '--32', '-I', sources, *define, '-o', code,
                    sources / f'{name}.S'], check=True)
    subprocess.run(['ld', '-m', 'elf_i386', '-Ttext', '0x7c00',
                    '--oformat', 'binary', '-o', image, code], check=True)
    require(image.stat().st_size == 512, 'not the size of a boot sector')
    return image


def boot_from(image, bus='ide'):
    """Command line for a disk image that is left as it is, to boot from if it
    is on the IDE bus."""
    return ['-drive', f'file={image},format=raw,if={bus},snapshot=on']
