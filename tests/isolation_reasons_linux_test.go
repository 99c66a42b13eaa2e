package tests

import "strings"

// isolationReasons say, by attempt, why we differ from runc, or allow what podman
// denies.
func isolationReasons() map[string]string {
	out := map[string]string{}
	for why, attempts := range map[string]string{
		// Denied here, allowed by runc.
		"root in a new user namespace reaches parts of the kernel that were written for the machine's root, and most of its holes of late needed one; engines' filters deny it without CAP_SYS_ADMIN": "unshare-user clone-user",
		"a filter cannot see the flags, which are in memory: the call does not exist, and C libraries fall back to clone":                                                                             "clone3-user",
		"for programs with CAP_SYS_ADMIN, which the filter follows; runc's own example has no filter":                                                                                                 "quotactl",
		"halts the kernel where it does not expect it, which is how races are won":                                                                                                                    "userfaultfd",
		"makes system calls that no filter sees": "io_uring_setup",
		"obsolete calls, which only attacks use": "ustat sysfs",
		"process 1 is not the command but a program of seven bytes that nobody may trace, read or write; with --no-init it is the command, as in runc":                                   "ptrace-init process_vm_readv-init pidfd_getfd-init proc-1-mem proc-1-environ proc-1-root",
		"makes attacks by known addresses easier; debuggers do without":                                                                                                                  "personality",
		"for programs with CAP_SYS_NICE, which the filter follows":                                                                                                                       "set_mempolicy",
		"the caller's terminal may be the container's, and what is typed there is run outside (CVE-2017-5226 of bubblewrap); the bits above are what a filter overlooks (CVE-2019-7303)": "tiocsti tiocsti-high tioclinux",
		"keys are the kernel's and not the container's: no namespace has its own":                                                                                                        "keyctl add_key request_key",
		"reaches the machine that the machine runs on, past all namespaces":                                                                                                              "socket-vsock",
		"shows when keys of the machine are pressed; later versions of engines mask it, too":                                                                                             "proc-interrupts",
		"a cgroup namespace of its own hides where the machine keeps the container":                                                                                                      "cgroup-path",
		"only descriptors 0, 1 and 2 are passed on, unless --preserve-fds says more: others are a way out (CVE-2024-21626)":                                                              "host-descriptors",
		// Allowed here, denied by runc or podman.
		"CAP_SYS_CHROOT, of engines' default set: package managers change the root when they unpack; the tree stays the container's":                                                                       "chroot",
		"CAP_NET_RAW, of engines' default set: ping and dhcp clients need it; without --network the only network is the container's loopback. Podman gives ping another way, for which images must be new": "socket-raw-icmp socket-packet",
		"CAP_AUDIT_WRITE, of engines' default set: login programs refuse to go on without; what they send is marked as from them, and there is nothing to read":                                            "socket-audit",
		"CAP_MKNOD, of engines' default set: images with device nodes are built with it. The nodes cannot be opened, neither in /dev nor elsewhere, as the next rows show":                                 "mknod-char mknod-block",
		"CAP_SETUID and CAP_SETGID, of engines' default set: whatever starts as root and goes on as another user, servers and package managers above all":                                                  "setuid setgroups",
		"CAP_CHOWN and CAP_SETFCAP, of engines' default set, on a root that can be written (runc's example is read-only; here --readonly): package managers install files so":                              "chown file-capability",
	} {
		for _, a := range strings.Fields(attempts) {
			out[a] = why
		}
	}
	return out
}
