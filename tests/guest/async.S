/*
 * A boot sector that has something else to do while a page is fetched
 *
 * It writes and verifies PAGES pages from 1 MiB, ROUNDS times, in an order
 * without neighbours, WORDS words in each page, as payload.S does. Under KVM
 * it asks for asynchronous page faults: where a page is not there, KVM raises
 * an exception instead of waiting, and an interrupt when the page has come.
 * In between this guest counts. How often it has waited, how far it has
 * counted, and how many pages it waits for is at 0x7dd0: three words. It says
 * when a round has ended.
 *
 * What passes between KVM and guest is in Documentation/virt/kvm/x86/msr.rst
 * of Linux.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .include "protected.S"

        .set    IDT, 0x1000
        .set    AREA, 0x2000            # shared with KVM: flags and token
        .set    TOKEN, AREA + 4
        .set    DIRECTORY, 0x3000       # of pages: what is there is there
        .set    PAGE_FAULT, 14
        .set    VECTOR, 32              # "page ready"

        .set    APIC_EOI, 0xfee000b0
        .set    APIC_SPURIOUS, 0xfee000f0
        .set    FEATURES, 0x40000001    # CPUID leaf of KVM
        .set    HAS_BOTH, 1 << 4 | 1 << 14
        .set    MSR_EN, 0x4b564d02
        .set    MSR_INT, 0x4b564d06
        .set    MSR_ACK, 0x4b564d07
        .set    ENABLE, 1 << 0 | 1 << 1 | 1 << 3  # in ring 0, too; interrupt

        .ifndef PAGES
        .set    PAGES, 2048             # a power of two
        .endif
        .ifndef WORDS
        .set    WORDS, 16               # looked at in a page
        .endif
        .ifndef ROUNDS
        .set    ROUNDS, 3
        .endif

        .macro  gate vector, handler
        movl    $(8 << 16) + \handler, IDT + \vector * 8
        movl    $0x8e00, IDT + \vector * 8 + 4  # interrupts are off in it
        .endm

        enter_protected_mode
        movl    $FEATURES, %eax
        cpuid
        andl    $HAS_BOTH, %eax
        cmpl    $HAS_BOTH, %eax
        movl    $failed, %esi
        jne     end                     # whoever starts it has to see to that
        movb    $0xff, %al              # none of the old interrupts
        outb    %al, $0x21
        outb    %al, $0xa1
        movl    $0x1ff, APIC_SPURIOUS
        gate    PAGE_FAULT, not_present
        gate    VECTOR, ready
        lidt    idt_register

        movl    $DIRECTORY, %edi        # KVM raises it with paging only
        movl    %edi, %cr3
        movl    $0x83, %eax             # 4 MiB that may be written to
1:      stosl
        addl    $0x400000, %eax
        jnc     1b
        movl    $0x10, %eax             # pages of that size
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0

        movl    $MSR_INT, %ecx
        movl    $VECTOR, %eax
        cdq
        wrmsr
        movl    $MSR_EN, %ecx
        movl    $AREA + ENABLE, %eax
        wrmsr
        sti
        xorl    %ebp, %ebp              # the round

round:
        xorl    %ebx, %ebx              # the page, in this round's order
page:
        imull   $STRIDE, %ebx, %edi
        andl    $PAGES - 1, %edi
        shll    $12, %edi
        addl    $FIRST, %edi
        movl    $WORDS, %ecx
word:
        imull   $FACTOR, %edi, %eax
        addl    %ebp, %eax
        testl   %ebp, %ebp
        jz      1f                      # nothing was written before
        leal    -1(%eax), %edx
        movl    $failed, %esi
        cmpl    (%edi), %edx
        jne     end
1:      movl    %eax, (%edi)
        addl    $4096 / WORDS, %edi
        loop    word
        incl    %ebx
        cmpl    $PAGES, %ebx
        jb      page
        testl   %ebp, %ebp
        jz      1f                      # the first round only writes
        movl    $beat, %esi
        call    say
1:      incl    %ebp
        cmpl    $ROUNDS, %ebp
        jb      round

        movl    $passed, %esi
end:
        call    say
halt:
        hlt
        jmp     halt

/* The page at hand is being fetched, or one that this code is in. */
not_present:
        decl    AREA                    # 1: a page that is not present
        jnz     halt
        incl    waited
        incl    awaited
        sti
1:      incl    count
        cmpl    $0, awaited
        jne     1b
        addl    $4, %esp                # the error code
        iret

/* A page has come. */
ready:
        pushal
        xorl    %eax, %eax
        xchgl   %eax, TOKEN
        incl    %eax
        jz      1f                      # none, but KVM begins like that
        decl    awaited
1:      xorl    %eax, %eax
        movl    %eax, APIC_EOI
        incl    %eax
        cdq
        movl    $MSR_ACK, %ecx
        wrmsr
        popal
        iret

        define_say

beat:           .asciz "GUEST: verified\n"
failed:         .asciz "GUEST: FAIL fill\n"
passed:         .asciz "GUEST: fill ok\n"

        .balign 4
idt_register:
        .word   (VECTOR + 1) * 8 - 1
        .long   IDT

        .org    0x1d0
waited:         .long 0
count:          .long 0
awaited:        .long 0

        end_sector
