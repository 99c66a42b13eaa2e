package tests

func peerNames() []string {
	var names []string
	for _, b := range builders {
		names = append(names, b.peers...)
	}
	return names
}

// features are what a peer does not know at all, by the name that @uses gives.
var features = map[string]map[string]string{
	"heredoc": {
		"buildkit-20.10": "here-documents came with frontend 1.4",
		"classic":        "the classic builder knows no here-documents",
		"buildah":        "buildah 1.28 knows no here-documents",
	},
	"chmod": {
		"classic": "--chmod needs BuildKit",
	},
	"symbolic-chmod": {
		"buildkit-20.10": "symbolic modes came with frontend 1.14",
		"classic":        "--chmod needs BuildKit",
		"buildah":        "buildah 1.28 takes octal modes only",
	},
	"variable-chmod": {
		"buildkit-20.10": "variables in --chmod came with frontend 1.10",
		"classic":        "--chmod needs BuildKit",
	},
	"exclude": {
		"buildkit-20.10": "--exclude came with frontend 1.19",
		"classic":        "the classic builder knows no --exclude",
		"buildah":        "buildah 1.28 knows no --exclude",
	},
	"parents": {
		"buildkit-20.10": "--parents came with frontend 1.20",
		"classic":        "the classic builder knows no --parents",
		"buildah":        "buildah 1.28 knows no --parents",
	},
	"modifiers": {
		"buildkit-20.10": "patterns in variables came with frontend 1.7",
		"classic":        "the classic builder knows no patterns in variables",
		"buildah":        "buildah 1.28 knows no patterns in variables",
	},
	"unset-modifiers": {
		"buildkit-20.10": "modifiers without the colon came with frontend 1.6",
		"classic":        "the classic builder knows no modifiers without the colon",
		"buildah":        "buildah 1.28 knows no modifiers without the colon",
	},
	"docker-format": {
		"buildah": "the config of its OCI format has no HEALTHCHECK, ONBUILD and SHELL",
	},
	"start-interval": {
		"buildkit-20.10": "--start-interval came with frontend 1.6",
		"classic":        "the classic builder knows no --start-interval",
		"buildah":        "buildah 1.28 knows no --start-interval",
	},
	"platform-args": {
		"classic": "--platform and its arguments need BuildKit",
	},
	"link": {
		"buildkit-20.10": "--link came with frontend 1.4",
		"classic":        "the classic builder knows no --link",
		"buildah":        "buildah 1.28 knows no --link",
	},
}
