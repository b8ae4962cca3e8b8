"""The rows: what is said of each feature, and which tests say so.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from rows import guest, qtest, refused, untested, works

ASYNC = 'asynchronous page faults: '

FREED = [
    works('``virtio-balloon``', guest('balloon', 'a balloon, ram store'),
          guest('balloon', 'a balloon, memcached store'),
          text='what was freed is in the store no more; when it comes back, it '
          'is zero without asking the store'),
    works('free page reporting',
          guest('balloon', 'free page reporting, ram store')),
    works('free page hinting',
          guest('balloon', 'free page hinting, pages are sent'),
          guest('balloon', 'free page hinting, pages are handed over'),
          text='hints that pages need not be sent have no effect on pages that '
          'are handed over'),
    works('``virtio-mem``', guest('balloon', 'virtio-mem, ram store'),
          guest('hotplug', 'virtio-mem, memcached store')),
    works('discards of other devices', qtest('discard', 'random'),
          qtest('discard', 'put-in-flight'),
          qtest('discard', 'fetch-in-flight'),
          text='a page is dropped wherever it is, also in flight'),
]

PLUGGED = [
    works('``pc-dimm``, plugged and pulled', guest('hotplug',
                                                   'a DIMM, ram store'),
          guest('hotplug', 'a DIMM, memcached store'),
          guest('hotplug', 'a DIMM that is in use'), qtest('hotplug', 'again'),
          text='whether memory in use can be pulled is up to the guest; one '
          'that is plugged in again is empty'),
    works('``object-del`` while requests are in flight',
          *(qtest('hotplug', f'in-flight/{what}') for what in
            ('puts', 'evacuation', 'warming', 'move', 'reader', 'quit')),
          text='nobody waits for the store, which is in use until it has '
          'forgotten the pages; a job of the backend ends with an error'),
    works('several backends with their own stores',
          guest('hotplug', 'two stores as two nodes'),
          qtest('hotplug', 'two-stores'), qtest('object', 'numa')),
    works('ordinary memory as NUMA node 0, remote as 1',
          guest('hotplug', 'ordinary and remote memory as two nodes')),
    refused('a backend for two devices',
            "can't use already busy memdev: ram0",
            qtest('hotplug', 'refused')),
    refused('``object-del`` of what is in use',
            "object 'ram0' is in use, can not be deleted",
            qtest('hotplug', 'refused')),
    untested('plugging during a detached ``dump-guest-memory``',
             'QEMU 10.0 ends, with ordinary memory, too'),
    untested('a reset during a dump, or while ``virtio-mem`` is pulled',
             'QEMU 10.0 aborts, with ordinary memory, too'),
]

READERS = [
    works('``memsave``, ``pmemsave``', guest('readers',
                                             'memsave, the VM runs'),
          guest('readers', 'pmemsave, the VM runs'),
          guest('readers', 'pmemsave, the VM is stopped'),
          qtest('readers', 'memsave'), qtest('readers', 'pmemsave'),
          qtest('readers', 'pmemsave-stopped'),
          text='what the guest uses stays local'),
    works('``x``, ``xp`` in the monitor', guest('readers', 'x, the VM runs'),
          guest('readers', 'xp, the VM runs'), qtest('readers', 'x'),
          text='``xp`` counts as a use by the guest'),
    works('the gdb stub', guest('readers', 'gdb, the VM runs'),
          guest('readers', 'gdb, the VM is stopped'),
          guest('readers', 'a debugger writes and stops'),
          text='what the guest uses stays local, unless the debugger reads '
          'physical memory'),
    works('``dump-guest-memory``', guest('readers', 'dump, the VM runs'),
          guest('readers', 'dump, detached, the VM runs'),
          guest('readers', 'dump with paging, of a guest that has paging'),
          guest('readers', 'dump, kdump-zlib, the VM runs'),
          guest('readers', 'dump, kdump-raw-zlib, detached, the VM runs'),
          text='what the guest uses stays local'),
    untested('``dump-guest-memory`` as lzo, snappy or ``win-dmp``',
             'they read as the other formats do'),
    works('``calc-dirty-rate``', qtest('readers', 'page-sampling'),
          qtest('readers', 'dirty-bitmap'),
          text='``page-sampling`` fetches what it samples, up to twice; '
          '``dirty-bitmap`` fetches nothing'),
    works('readers of memory that was never touched',
          qtest('readers', 'untouched')),
    works('readers while the store stands still',
          *(guest('readers', f'{way}, the store stands still')
            for way in ('pmemsave', 'x', 'gdb', 'dump', 'in the background')),
          guest('readers', 'pmemsave, the store is lost'),
          guest('readers', 'dump in the background, the store is lost'),
          text='they wait, and so does the main thread: only ``exec-oob`` is '
          'answered meanwhile; nothing wrong is written'),
]

DEVICES = [
    works('vhost in the kernel (``-netdev tap,vhost=on``)',
          *(guest('devices', f'/x86_64/remote-memory/vhost/{what}') for what in
            ('transmit', 'receive', 'stop', 'lost-store')),
          text="a thread of the kernel, with QEMU's page tables: it faults as "
          'QEMU does. While it waits for a page of a store that does not '
          'answer, the VM can be stopped only when the page has come'),
    untested('``vhost-vsock``', 'the kernel copies what it sends and receives '
             'in the same way'),
    refused('``vhost-user``', "another process would have to share the guest's "
            'memory, which is remote', qtest('devices', 'refused'),
            qtest('devices', 'both-orders'), text='use a device that QEMU '
            'emulates itself'),
    refused('``vhost-scsi``', "the kernel would write to pages of the guest's "
            'memory that have been moved away', qtest('devices', 'refused'),
            qtest('devices', 'no-start'), text='use ``virtio-scsi``'),
    refused('VFIO', "all of the guest's memory, which is remote, would have to "
            'stay local', qtest('devices', 'refused'),
            qtest('devices', 'no-start')),
    untested('vDPA', 'refused in the same way; needs hardware'),
    works('``nvdimm``, ``virtio-pmem`` on it', qtest('devices', 'nvdimm'),
          qtest('devices', 'virtio-pmem'),
          text='nothing of it outlives QEMU'),
    works('``ivshmem-plain`` on it', qtest('devices', 'ivshmem'),
          text='but it is shared with nobody'),
    works('disks with ``cache.direct=on``', guest('odirect',
          'O_DIRECT under eviction, aio=native'),
          text='a page stays local while a disk has it'),
    untested('the same, on NFS, CephFS and the like that the host has mounted',
             'must not be used: some of them hold pages without a pin, so '
             'that these could be moved away before the data come, and '
             'nothing refuses that. Use ``cache.direct=off``, or a driver of '
             "QEMU's"),
    refused('``virtio-gpu`` with ``blob=on``',
            'need rutabaga or udmabuf for blob resources',
            qtest('devices', 'no-start')),
    works('``remote-memory-hints``', guest('hints', 'the same, announced by '
                                           'hints'),
          qtest('hints', 'random'), qtest('hints', 'unplug')),
]

OPTIONS = [
    refused('``share=on``', "property 'share' cannot be 'on': pages can be "
            'moved out of private memory only', qtest('options', 'refused')),
    refused('``prealloc=on``, ``-mem-prealloc``', "property 'prealloc' cannot "
            "be 'on': memory is local only as far as 'cache-size' allows",
            qtest('options', 'refused'), qtest('options', 'late'),
            qtest('options', 'late-object')),
    refused('``merge=on``', "property 'merge' cannot be 'on': pages that are "
            'merged cannot be moved', qtest('options', 'refused'),
            qtest('options', 'late')),
    refused('``reserve=on``', "property 'reserve' cannot be 'on': no local "
            'memory is reserved for pages that are remote',
            qtest('options', 'refused')),
    refused('``-overcommit mem-lock=on``, ``on-fault``',
            "memory backend 'ram0': locked memory cannot be remote",
            qtest('options', 'refused')),
    refused('huge pages (``-mem-path``)', "'-mem-path' can't be used together "
            "with'-machine memory-backend'", qtest('options', 'refused'),
            text='the message is that of QEMU; pages come and go by 4 KiB'),
    refused('confidential guests, ``memory-encryption``',
            "memory backend 'ram0': the memory of a confidential guest cannot "
            'be remote', qtest('options', 'confidential')),
    works('``-machine mem-merge=on``', qtest('options', 'merge-default'),
          text='it leaves remote memory alone'),
    works('``-daemonize``', qtest('options', 'daemonize')),
    works('``-run-with async-teardown=on``',
          qtest('options', 'async-teardown')),
    works('``-run-with user=``', qtest('options', 'user')),
]

BUSY = 'a busy guest, KVM: '

KVM = [
    works('KVM', guest('kvm', 'boot sector guest, KVM'),
          guest('kvm', 'two backends, KVM')),
    works('resizing, stopping and dumping under KVM',
          *(guest('kvm', BUSY + what) for what in (
              'its cache shrinks and grows while it runs',
              'it stops, faults no more, and goes on',
              'it is dumped while it runs')),
          guest('kvm', ASYNC + 'its cache shrinks and grows while it runs'),
          guest('kvm', ASYNC + 'it stops, faults no more, and goes on')),
    works('a store that stands still under KVM',
          guest('kvm', BUSY + 'its store stands still, and goes on'),
          guest('kvm', ASYNC + 'it is stopped while workers wait for a lost '
                'store, and goes on')),
    works('asynchronous page faults',
          guest('kvm', 'features of asynchronous page faults, KVM'),
          guest('kvm', ASYNC +
                'it does something else while a page is fetched'),
          text='the guest needs the CPU feature ``kvm-asyncpf-int``'),
    works('the faulting vCPU is known',
          guest('kvm', BUSY + 'it faults as the thread of its vCPU'),
          guest('kvm', ASYNC + "faults are those of its vCPU's thread and of "
                "the kernel's workers"),
          text='a worker of the kernel waits for an asynchronous fault'),
    untested('``KVM_PRE_FAULT_MEMORY``',
             'not used: it has to run in the thread of a vCPU that is kicked '
             'for it, which costs more than the faults'),
]

SIZING = [
    works('``auto-size=on``',
          guest('autosize',
                'the cache follows what the guest uses, and verifies')),
    works('the same, and the VM is paused',
          qtest('autosize', 'paused'), qtest('autosize', 'paused-often'),
          text='nothing is decided meanwhile'),
    works('the same, and the store fails or is lost',
          qtest('autosize', 'shaky-store'), qtest('autosize', 'lost-store'),
          text='what is waited for such a store says nothing of the size'),
    works('the same, and ``remote-memory-evacuate``',
          qtest('autosize', 'evacuate'), qtest('autosize', 'evacuate-paused'),
          text='``min-cache-size`` counts again when the job has ended'),
    refused('the same, and ``remote-memory-set-cache-size``',
            "'auto-size' is on", qtest('autosize', 'refuses')),
]

TOGETHER = [
    works('all of it at random on a busy guest: resizing, jobs, plugging, '
          'ballooning, dumps, stops, resets, stores that err',
          guest('soak', 'random operations for 1 min'),
          text='``make soak`` does so for as long as you like'),
]

GROUPS = [
    ('Memory that the guest frees', FREED),
    ('Plugging', PLUGGED),
    ('Readers outside the guest', READERS),
    ('Devices', DEVICES),
    ('Options', OPTIONS),
    ('KVM', KVM),
    ('Automatic sizing', SIZING),
    ('At the same time', TOGETHER),
]
