#include "textflag.h"

#define SYS_clone 56

// func cloneSharing(flags, stack uintptr, p *part, report uintptr) (pid uintptr)
//
// The child gets a stack of its own and never returns: it shares memory with
// the parent, so it must not touch the parent's.
TEXT ·cloneSharing(SB),NOSPLIT,$0-40
	MOVQ	flags+0(FP), DI
	MOVQ	stack+8(FP), SI
	MOVQ	p+16(FP), R12
	MOVQ	report+24(FP), R13
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$SYS_clone, AX
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, pid+32(FP)
	RET

child:
	SUBQ	$32, SP
	MOVQ	R12, 0(SP)
	MOVQ	R13, 8(SP)
	CALL	·walk(SB)
	INT	$3
