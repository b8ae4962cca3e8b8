/*
 * What boot sector guests begin and end with: into protected mode, where all
 * of 4 GiB is one segment, and lines on the first serial port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .set    FIRST, 0x100000         # above the BIOS and this code
        .ifndef STRIDE
        .set    STRIDE, 5167            # odd: each page comes once a round
        .endif
        .set    FACTOR, 0x9e3779b1      # odd: each word has its own value
        .set    SERIAL, 0x3f8

/* The first thing in the sector. */
        .macro  enter_protected_mode
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
        .endm

/* Call "say" to send the string at %esi; changes %eax, %edx and %esi. */
        .macro  define_say
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
        .endm

/* The last thing in the sector. */
        .macro  end_sector
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
        .endm
