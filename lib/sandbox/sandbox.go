// Package sandbox runs one process in isolation from an OCI runtime bundle. It
// is the only package that makes namespace, mount, seccomp, capability and
// cgroup system calls.
//
// The invariant: what was asked for is what the process gets, or it does not
// start. A level of isolation is never lowered because the machine refuses it;
// the error says what lacks and how to get it.
//
// How a container is made, in one process and without a second start of the Go
// runtime: one thread of the program unshares the namespaces, assembles the
// root and its mounts by descriptor, and pivots into it, while the other
// threads stay on the host. The container's processes are then forked from that
// thread and carry out a list of system calls prepared beforehand (see
// program_linux.go), the last of which is execve. When everything has ended the
// thread leaves the mount namespace and with it everything that was mounted.
//
// It is not a life cycle manager: nothing is recorded, Run returns when the
// process has ended. Enter runs a further process in a container that runs.
//
//	b, err := sandbox.OpenBundle(dir)
//	...
//	defer b.Close()
//	res, err := sandbox.Run(ctx, b, sandbox.Options{Args: []string{"sh"}})
//	os.Exit(res.Status)
package sandbox

import (
	"errors"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations of a bundle's config.json that this package reads.
const (
	// AnnotationLower lists the lower directories, top first, joined with ":";
	// ":" and "\" inside a path are escaped with "\".
	AnnotationLower = "dev.docksmith.overlay.lower"
	// AnnotationUpper and AnnotationWork are paths, relative to the bundle or absolute.
	AnnotationUpper = "dev.docksmith.overlay.upper"
	AnnotationWork  = "dev.docksmith.overlay.work"
	// AnnotationUser is a user in words ("app", "app:staff", "1000"), resolved
	// by the files of the container's root.
	AnnotationUser = "dev.docksmith.user"
	// AnnotationSecretEnv is a JSON object: the names of environment variables
	// that get secrets, each with the secret's name.
	AnnotationSecretEnv = "dev.docksmith.secret.env"
)

// What a mount of a bundle may be beyond the specification.
const (
	// TypeSecret is the type of a mount that is a file with the secret that its
	// source names. Options: mode (octal, default 400), uid, gid, and "ro" alike.
	TypeSecret = "docksmith.secret"
	// OptionSubpath=PATH, of a bind or overlay mount, mounts what PATH leads to
	// inside the source, links resolved there. An overlay mount has the
	// options lowerdir, upperdir and workdir, with paths like the annotations'.
	OptionSubpath = "x-docksmith.subpath"
	// OptionFill, of a bind mount, copies what the root has at the destination into
	// the source if that has nothing in it.
	OptionFill = "x-docksmith.fill"
	// OptionMayLack=NAME, of a bind mount, leaves it out if its source is not
	// there, and names it to Warn.
	OptionMayLack = "x-docksmith.maylack"
)

// Errors that callers ask for.
var (
	// ErrUnsupportedPlatform is returned everywhere but on Linux.
	ErrUnsupportedPlatform = errors.New("unsupported platform")
	// ErrCommandNotFound means the command is not in the container.
	ErrCommandNotFound = errors.New("command not found")
	// ErrNotDelegated means that an ordinary user may make no cgroup for a limit.
	ErrNotDelegated = errors.New("no cgroup controller is delegated to the user")
	// ErrCommandNotInvocable means the command is there and cannot be executed.
	ErrCommandNotInvocable = errors.New("command cannot be invoked")
)

// Options changes what the bundle's config.json says. The zero value changes
// nothing. Its JSON has what can be said of a container that runs, and no
// secrets.
type Options struct {
	// Args replaces process.args when it is not empty.
	Args []string `json:"args,omitempty"`
	// Env entries "KEY=VALUE" replace or extend process.env.
	Env []string `json:"env,omitempty"`
	// Mounts are added after the bundle's own.
	Mounts []specs.Mount `json:"mounts,omitempty"`
	// Readonly makes the root read-only.
	Readonly bool `json:"readonly,omitempty"`
	// Hostname, User and Cwd replace the bundle's when not empty. User is in
	// words, as for AnnotationUser.
	Hostname string `json:"hostname,omitempty"`
	User     string `json:"user,omitempty"`
	Cwd      string `json:"cwd,omitempty"`
	// Network is "" (what the bundle says), "none" or "host".
	Network string `json:"network,omitempty"`
	// Secrets are by name what mounts and environment of the bundle speak of. Of
	// those that it has not, Warn is told, and the process runs without.
	Secrets map[string][]byte `json:"-"`
	// Limits are applied over those of the bundle.
	Limits Limits `json:"limits,omitzero"`
	// Isolation is the level. "" is IsolationFull, in a user namespace
	// IsolationUser, and as far as the other options let it.
	Isolation Isolation `json:"isolation,omitempty"`
	// Because is why a weak level was chosen, for Warn. Optional.
	Because string `json:"because,omitempty"`
	// AddCaps and DropCaps change the bundle's capabilities: names in either case,
	// with CAP_ or without, or "all". What is added comes after what is dropped;
	// a user other than root has it in the bounding set alone.
	AddCaps  []string `json:"addCaps,omitempty"`
	DropCaps []string `json:"dropCaps,omitempty"`
	// Storage bounds in bytes what the container may write into its root, which must
	// be an overlay: it is then kept in memory, and gone with the container.
	Storage int64 `json:"storage,omitempty"`
	// NoSeccomp runs without a seccomp filter.
	NoSeccomp bool `json:"noSeccomp,omitempty"`
	// NoNamespaces keeps every namespace of the caller but the mount namespace,
	// without which there would be no root.
	NoNamespaces bool `json:"noNamespaces,omitempty"`
	// NoInit makes the command process 1 of its pid namespace.
	NoInit bool `json:"noInit,omitempty"`
	// ID names the container to its hooks. "" is a random one.
	ID string `json:"id,omitempty"`
	// Terminal gives the process a terminal of the container's own, as
	// process.terminal does, and TERM=xterm unless its environment has one.
	Terminal bool `json:"terminal,omitempty"`
	// Console gets the near end of that terminal, which is closed when it
	// returns. Nil has Run connect the caller's standard input and output.
	Console func(near *os.File) error `json:"-"`
	// PreserveFDs is how many of the caller's descriptors from 3 on the process
	// gets beside the standard ones.
	PreserveFDs int `json:"-"`
	// SharedKeyring leaves the process in the caller's session keyring.
	SharedKeyring bool `json:"sharedKeyring,omitempty"`
	// Stdin, Stdout and Stderr are the process's; nil means the caller's.
	Stdin, Stdout, Stderr *os.File `json:"-"`
	// Name is that of the container's cgroup; random when empty.
	Name string `json:"-"`
	// Cgroup is told the directories of the container's cgroup, if it has one,
	// before the command is executed. Optional.
	Cgroup func(dirs []string) `json:"-"`
	// Started is called with the process's id, seen from the caller, once the
	// command has been executed. Optional.
	Started func(pid int) `json:"-"`
	// Warn gets one sentence for each thing a reader of the log should know,
	// such as a level of isolation that was turned off. Optional.
	Warn func(sentence string) `json:"-"`
}

// Result tells how a container ended.
type Result struct {
	// Status is the exit status, 128+N when a signal N ended the process.
	Status int
	// Signal is the signal that ended the process, or 0.
	Signal int
	// OOM says that the kernel killed a process for the memory limit.
	OOM bool
	// PeakMemory is the most memory in use at a time, in bytes: of the whole
	// container where it had a cgroup, else of its largest process.
	PeakMemory int64
	// Verdicts has a sentence for each limit that the container ran into, as
	// "killed: memory limit of 32 MiB: process 7 (hog)". Of some limits only the
	// process that meets them gets to know.
	Verdicts []string
}

// UserNamespaceOptions is for EnterUserNamespace.
type UserNamespaceOptions struct {
	// Root is the state directory, for a program that has one: it stays the
	// caller's. Inside, the default would be root's.
	Root string
	// Release gives up what the program holds, before it begins again. Optional.
	Release func() error
	// Warn gets a sentence when a single-id mapping has to do. Optional.
	Warn func(sentence string)
}
