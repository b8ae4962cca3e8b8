/*
 * The smallest guest: a boot sector that writes and verifies memory
 *
 * It goes over PAGES pages from 1 MiB in an order without neighbours, ROUNDS
 * times; checks that WORDS words all over a page hold what was written last
 * and writes the next. Not every word, unless told so: some KVM interprets
 * the instructions of a guest without paging one by one. It says on the first
 * serial port what the test guest says, so that the same harness understands
 * it, and then waits for good.
 *
 * Who assembles it may define PAGES, WORDS, ROUNDS, BEAT: how many pages are
 * verified between two lines that say so, ONE_IN: each round writes one in so
 * many pages, and verifies all of them; HOT: after the first round, which
 * writes all pages, it uses only so many of them, the lowest; and STRIDE: 1 for
 * an order with neighbours.
 *
 * A word's value is its address, multiplied by an odd number, plus the round
 * that wrote it: no two words are equal, and no word stays. So a page that is
 * stale, swapped, all zeros, or that has lost a write is found at the next
 * look at it. Which round wrote a page last follows from its number: page n
 * is written in round 0, and in each round r for which ONE_IN divides n + r.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .include "protected.S"

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
        .ifndef ONE_IN
        .set    ONE_IN, 1               # a power of two
        .endif
        .ifndef HOT
        .set    HOT, PAGES              # a power of two
        .endif

        enter_protected_mode
        movl    $hello, %esi
        call    say
        xorl    %ebp, %ebp              # the round

round:
        xorl    %ebx, %ebx              # the page, in this round's order
page:
        pushl   %ebx                    # touches the page that this code is
        popl    %ebx                    # in: who lost it could not say so
        imull   $STRIDE, %ebx, %edi
        andl    last, %edi
        shll    $12, %edi
        addl    $FIRST, %edi
        movl    $WORDS, %ecx
        leal    -1(%ebx, %ebp), %edx
        andl    $ONE_IN - 1, %edx
        movl    %ebp, %esi
        subl    %edx, %esi
        decl    %esi                    # the round that wrote it last
        jns     word
        xorl    %esi, %esi
word:
        imull   $FACTOR, %edi, %eax
        testl   %ebp, %ebp
        jz      write                   # nothing was written before
        leal    (%eax, %esi), %edx
        cmpl    (%edi), %edx
        jne     wrong
        leal    (%ebx, %ebp), %edx
        testl   $ONE_IN - 1, %edx
        jnz     next                    # not this time
write:
        addl    %ebp, %eax
        movl    %eax, (%edi)
next:
        addl    $4096 / WORDS, %edi
        loop    word
        incl    %ebx
        testl   $BEAT - 1, %ebx
        jnz     1f
        testl   %ebp, %ebp
        jz      1f                      # the first round only writes
        movl    $beat, %esi
        call    say
1:      cmpl    last, %ebx
        jbe     page
        movl    $HOT - 1, last
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

        define_say

hello:          .asciz "GUEST: ready\n"
beat:           .asciz "GUEST: verified\n"
passed:         .asciz "GUEST: fill ok\n"
failed:         .asciz "GUEST: FAIL fill\n"

        .balign 8
last:           .long   PAGES - 1       # the last page of this round

        end_sector
