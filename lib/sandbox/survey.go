package sandbox

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
