/*
 * The smallest guest: a boot sector that writes and verifies memory
 *
 * It goes over PAGES pages from 1 MiB in an order without neighbours, ROUNDS
 * times; checks that WORDS words all over a page hold what the round before
 * has written and writes the next. Not every word, unless told so: some KVM
 * interprets the instructions of a guest without paging one by one. It says on
 * the first serial port what the test guest says, so that the same harness
 * understands it, and then waits for good.
 *
 * Who assembles it may define PAGES, WORDS, ROUNDS, and BEAT: how many pages
 * are verified between two lines that say so.
 *
 * A word's value is its address, multiplied by an odd number, plus the round:
 * no two words are equal, and no word stays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .set    FIRST, 0x100000         # above the BIOS and this code
        .set    STRIDE, 5167            # odd: each page comes once a round
        .set    FACTOR, 0x9e3779b1      # odd: each word has its own value
        .set    SERIAL, 0x3f8

        .ifndef PAGES
        .set    PAGES, 8192             # a power of two
        .endif
        .ifndef WORDS
        .set    WORDS, 16               # looked at in a page
        .endif
        .ifndef ROUNDS
        .set    ROUNDS, 8
        .endif
        .ifndef BEAT
        .set    BEAT, PAGES             # a power of two
        .endif

        .code16
        .globl  _start
_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    $0x2401, %ax            # BIOS: enable the A20 line
        int     $0x15
        cli
        lgdt    table_register
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmp    $8, $protected

        .code32
protected:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7c00, %esp
        movl    $hello, %esi
        call    say
        xorl    %ebp, %ebp              # the round

round:
        xorl    %ebx, %ebx              # the page, in this round's order
page:
        pushl   %ebx                    # touches the page that this code is
        popl    %ebx                    # in: who lost it could not say so
        imull   $STRIDE, %ebx, %edi
        andl    $PAGES - 1, %edi
        shll    $12, %edi
        addl    $FIRST, %edi
        movl    $WORDS, %ecx
word:
        imull   $FACTOR, %edi, %eax
        addl    %ebp, %eax              # what this round writes
        testl   %ebp, %ebp
        jz      write                   # nothing was written before
        leal    -1(%eax), %edx          # what the last one has written
        cmpl    (%edi), %edx
        jne     wrong
write:
        movl    %eax, (%edi)
        addl    $4096 / WORDS, %edi
        loop    word
        incl    %ebx
        testl   $BEAT - 1, %ebx
        jnz     1f
        testl   %ebp, %ebp
        jz      1f                      # the first round only writes
        movl    $beat, %esi
        call    say
1:      cmpl    $PAGES, %ebx
        jb      page
        incl    %ebp
        cmpl    $ROUNDS, %ebp
        jb      round

        movl    $passed, %esi
        jmp     end
wrong:
        movl    $failed, %esi
end:
        call    say
halt:
        hlt
        jmp     halt

/* Send the string at %esi; changes %eax, %edx and %esi. */
say:
        movw    $SERIAL + 5, %dx        # line status
        inb     %dx, %al
        testb   $0x20, %al              # room for a byte
        jz      say
        lodsb
        testb   %al, %al
        jz      1f
        movw    $SERIAL, %dx
        outb    %al, %dx
        jmp     say
1:      ret

hello:          .asciz "GUEST: ready\n"
beat:           .asciz "GUEST: verified\n"
passed:         .asciz "GUEST: fill ok\n"
failed:         .asciz "GUEST: FAIL fill\n"

        .balign 8
table:
        .quad   0
        .quad   0x00cf9a000000ffff      # code: all 4 GiB
        .quad   0x00cf92000000ffff      # data: all 4 GiB
table_register:
        .word   table_register - table - 1
        .long   table

        .org    510
        .word   0xaa55
