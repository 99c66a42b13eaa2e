package tests

import "slices"

func isPeer(name string) bool {
	for _, b := range builders {
		if slices.Contains(b.peers, name) {
			return true
		}
	}
	return false
}

// features are what a peer does not know at all, by the name that @uses gives.
var features = map[string]map[string]string{
	"heredoc": {
		"buildkit-20.10": "here-documents came with frontend 1.4",
		"classic":        "the classic builder knows no here-documents",
		"buildah":        "buildah knows here-documents from 1.33 on",
	},
	"chmod": {
		"classic": "--chmod needs BuildKit",
	},
	"symbolic-chmod": {
		"buildkit-20.10": "symbolic modes came with frontend 1.14",
		"classic":        "--chmod needs BuildKit",
		"buildah":        "buildah takes octal modes only",
	},
	"variable-chmod": {
		"buildkit-20.10": "variables in --chmod came with frontend 1.13",
		"classic":        "--chmod needs BuildKit",
	},
	"exclude": {
		"buildkit-20.10": "--exclude came with frontend 1.19",
		"classic":        "the classic builder knows no --exclude",
		"buildah":        "buildah knows --exclude from 1.38 on",
	},
	"parents": {
		"buildkit-20.10": "--parents came with frontend 1.20",
		"classic":        "the classic builder knows no --parents",
		"buildah":        "buildah knows --parents from 1.40 on",
	},
	"modifiers": {
		"buildkit-20.10": "patterns in variables came with frontend 1.7",
		"classic":        "the classic builder knows no patterns in variables",
		"buildah":        "buildah knows patterns in variables from 1.35 on",
	},
	"unset-modifiers": {
		"buildkit-20.10": "modifiers without the colon came with frontend 1.3",
		"classic":        "the classic builder knows no modifiers without the colon",
		"buildah":        "buildah knows modifiers without the colon from 1.35 on",
	},
	"docker-format": {
		"buildah": "the config of its OCI format has no HEALTHCHECK, ONBUILD and SHELL",
	},
	"start-interval": {
		"buildkit-20.10": "--start-interval came with frontend 1.7",
		"classic":        "the classic builder knows no --start-interval",
		"buildah":        "buildah knows --start-interval from 1.35 on",
	},
	"platform-args": {
		"classic": "--platform and its arguments need BuildKit",
	},
	"link": {
		"buildkit-20.10": "--link came with frontend 1.4",
		"classic":        "the classic builder knows no --link",
		"buildah":        "buildah knows --link from 1.40 on",
	},
}
