package sandbox

import (
	"errors"
	"strings"
)

// Isolation is how far a container is kept apart from the machine. Each level
// has what the next one has, and more.
type Isolation string

// The levels, strongest first.
const (
	// IsolationFull is every namespace, limits, the root's own ids and the filter
	// of system calls. It takes root.
	IsolationFull Isolation = "full"
	// IsolationUser is the same in a user namespace, as an ordinary user.
	IsolationUser Isolation = "user"
	// IsolationChroot is a root of its own, the bundle's capabilities and the
	// filter, and nothing else: the machine's processes, network, IPC and host
	// name are shared. Where the kernel refuses a mount namespace, the root is
	// changed by chroot(2), and nothing is mounted.
	IsolationChroot Isolation = "chroot"
	// IsolationNone is a root of its own, and whatever the caller may do.
	IsolationNone Isolation = "none"
	// IsolationAuto is no level of Options: programs call by it the strongest one
	// that a survey finds.
	IsolationAuto Isolation = "auto"
)

// Isolations are the words for them.
var Isolations = []string{string(IsolationFull), string(IsolationUser), string(IsolationChroot), string(IsolationNone), string(IsolationAuto)}

// ErrIsolation is in errors that come of a machine that does not give the level
// of isolation which was asked for.
var ErrIsolation = errors.New("not on this machine")

// Level is how far a container with these options is isolated: the level that
// they name, or that of the namespaces.
func (o Options) Level() Isolation {
	switch {
	case o.Isolation != "":
		return o.Isolation
	case o.NoNamespaces:
		return IsolationChroot
	case InUserNamespace():
		return IsolationUser
	}
	return IsolationFull
}

// Without names what the options take from the level: "seccomp", "network".
func (o Options) Without() (list []string) {
	level := o.Level()
	if o.NoSeccomp && level != IsolationNone {
		list = append(list, "seccomp")
	}
	if o.Network == "host" && !level.weak() {
		list = append(list, "network")
	}
	return list
}

// weak says that a level has no namespaces but one for mounts.
func (i Isolation) weak() bool { return i == IsolationChroot || i == IsolationNone }

// warnings are the sentences about isolation that is not there, as was asked for.
func (o Options) warnings() (list []string) {
	const shared = "the command shares processes, network, IPC and host name with the machine"
	because := ""
	if o.Because != "" {
		because = ", for this machine lacks: " + o.Because
	}
	switch {
	case o.Isolation == IsolationNone:
		return []string{"isolation none: " + shared + ", keeps the caller's capabilities, and every system call is allowed" + because}
	case o.Isolation == IsolationChroot:
		list = append(list, "isolation chroot: "+shared+because)
	case o.NoNamespaces:
		list = append(list, "no namespaces: "+shared)
	case o.Network == "host":
		list = append(list, "network host: the command uses the machine's network")
	}
	if o.NoSeccomp {
		list = append(list, "no seccomp: every system call is allowed")
	}
	if len(o.AddCaps) > 0 {
		list = append(list, "capabilities added: "+strings.Join(o.AddCaps, ", "))
	}
	return list
}
