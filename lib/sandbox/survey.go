package sandbox

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
	// IsolationChroot is a root of its own and the filter, and nothing else: the
	// machine's processes, network, IPC and host name are shared.
	IsolationChroot Isolation = "chroot"
	// IsolationNone is a root of its own, and whatever the caller may do.
	IsolationNone Isolation = "none"
)

// Trial is one thing that containers are made with, and what came of trying it.
type Trial struct {
	Area string `json:"area"` // namespaces, processes, files, limits, ids, network
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Errno is the name of the kernel's refusal, such as EPERM; Error is the
	// whole story.
	Errno string `json:"errno,omitempty"`
	Error string `json:"error,omitempty"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy,omitempty"`
	// Note is what is good to know of a success.
	Note string `json:"note,omitempty"`
}

// Survey is what this machine gives this caller.
type Survey struct {
	Kernel       string `json:"kernel"` // "6.8.0-45-generic"
	Architecture string `json:"architecture"`
	// Container names what the caller itself runs in: "docker", "podman",
	// "kubernetes", "lxc", "systemd-nspawn", "container" for one unknown; "" for a machine.
	Container string `json:"container,omitempty"`
	// Isolation is the strongest level there is for the caller.
	Isolation Isolation `json:"isolation"`
	Trials    []Trial   `json:"trials"`
}

// SurveyOptions says where and for whom to try.
type SurveyOptions struct {
	// Dir is where containers would have their files. Where the caller may not
	// write, and for "", it is the directory for temporary files.
	Dir string
	// UserNamespace is why the caller, an ordinary user, did not become root in a
	// user namespace: what EnterUserNamespace said.
	UserNamespace error
}
