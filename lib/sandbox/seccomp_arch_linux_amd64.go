package sandbox

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run gen_syscalls.go

// seccompArches are the native architecture and those whose programs the kernel
// runs beside it. Two with the same audit number stand together.
var seccompArches = []seccompArch{
	{name: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, table: syscallsamd64},
	{name: specs.ArchX32, audit: unix.AUDIT_ARCH_X86_64, table: syscallsamd64, narrow: true, bit: x32Bit, renumbered: x32Own, absent: x32Absent},
	{name: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, table: syscalls386, narrow: true, multiplexed: i386Multiplexed},
}

// x32Own are the calls for which x32 has numbers of its own.
var x32Own = []sysno{
	{"rt_sigaction", 512}, {"rt_sigreturn", 513}, {"ioctl", 514}, {"readv", 515}, {"writev", 516}, {"recvfrom", 517},
	{"sendmsg", 518}, {"recvmsg", 519}, {"execve", 520}, {"ptrace", 521}, {"rt_sigpending", 522}, {"rt_sigtimedwait", 523},
	{"rt_sigqueueinfo", 524}, {"sigaltstack", 525}, {"timer_create", 526}, {"mq_notify", 527}, {"kexec_load", 528},
	{"waitid", 529}, {"set_robust_list", 530}, {"get_robust_list", 531}, {"vmsplice", 532}, {"move_pages", 533},
	{"preadv", 534}, {"pwritev", 535}, {"rt_tgsigqueueinfo", 536}, {"recvmmsg", 537}, {"sendmmsg", 538},
	{"process_vm_readv", 539}, {"process_vm_writev", 540}, {"setsockopt", 541}, {"getsockopt", 542}, {"io_setup", 543},
	{"io_submit", 544}, {"execveat", 545}, {"preadv2", 546}, {"pwritev2", 547},
}

// x32Absent are calls that only 64-bit programs have.
var x32Absent = []string{
	"_sysctl", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "get_thread_area", "nfsservctl",
	"query_module", "set_thread_area", "uselib", "vserver",
}

// i386Multiplexed are the calls that 32-bit programs may also reach through
// socketcall(2) and ipc(2).
var i386Multiplexed = []multiplexer{
	{"socketcall", []sysno{
		{"socket", 1}, {"bind", 2}, {"connect", 3}, {"listen", 4}, {"accept", 5}, {"getsockname", 6}, {"getpeername", 7},
		{"socketpair", 8}, {"send", 9}, {"recv", 10}, {"sendto", 11}, {"recvfrom", 12}, {"shutdown", 13}, {"setsockopt", 14},
		{"getsockopt", 15}, {"sendmsg", 16}, {"recvmsg", 17}, {"accept4", 18}, {"recvmmsg", 19}, {"sendmmsg", 20},
	}},
	{"ipc", []sysno{
		{"semop", 1}, {"semget", 2}, {"semctl", 3}, {"semtimedop", 4}, {"msgsnd", 11}, {"msgrcv", 12}, {"msgget", 13},
		{"msgctl", 14}, {"shmat", 21}, {"shmdt", 22}, {"shmget", 23}, {"shmctl", 24},
	}},
}
