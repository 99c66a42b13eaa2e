package oci

import (
	"fmt"
	"runtime"
	"strings"
)

// HostPlatform is what this machine runs. Containers are Linux ones on every
// host, so the operating system is always linux.
func HostPlatform() Platform {
	p := Platform{OS: "linux", Architecture: runtime.GOARCH}
	if p.Architecture == "arm" {
		p.Variant = "v7"
	}
	return p
}

// ParsePlatform reads OS/ARCH[/VARIANT], or a lone ARCH or OS the way docker
// does, and brings the usual other spellings (x86_64, aarch64) into one form.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	for _, w := range parts {
		if !isWord(w) {
			return Platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT", s)
		}
	}
	var p Platform
	switch len(parts) {
	case 1:
		p = HostPlatform()
		if knownOS(parts[0]) {
			p.OS = strings.ToLower(parts[0])
		} else {
			p.Architecture, p.Variant = parts[0], ""
		}
	case 2:
		p.OS, p.Architecture = parts[0], parts[1]
	case 3:
		p.OS, p.Architecture, p.Variant = parts[0], parts[1], parts[2]
	default:
		return Platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT", s)
	}
	return normalize(p), nil
}

func knownOS(s string) bool {
	switch strings.ToLower(s) {
	case "linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "plan9", "wasip1", "js":
		return true
	}
	return false
}

// normalize gives one spelling to platforms that are the same machine. The
// variant that an architecture has by default is left out, as engines write it.
func normalize(p Platform) Platform {
	p.OS = strings.ToLower(p.OS)
	p.Architecture = strings.ToLower(p.Architecture)
	p.Variant = strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	case "i386", "i486", "i586", "i686", "x86":
		p.Architecture, p.Variant = "386", ""
	}
	switch p.Architecture {
	case "arm64":
		if p.Variant == "8" || p.Variant == "v8" {
			p.Variant = ""
		}
	case "amd64":
		if p.Variant == "v1" {
			p.Variant = ""
		}
	case "arm":
		switch p.Variant {
		case "":
			p.Variant = "v7"
		case "5", "6", "7", "8":
			p.Variant = "v" + p.Variant
		}
	}
	return p
}

// PlatformString writes p as OS/ARCH[/VARIANT].
func PlatformString(p Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// MatchPlatform says how well an image for have runs where want is wanted: 0
// not at all, higher is better. An older variant of the same architecture runs.
func MatchPlatform(want, have Platform) int {
	want, have = normalize(want), normalize(have)
	if want.OS != have.OS || want.Architecture != have.Architecture {
		return 0
	}
	switch {
	case want.Variant == have.Variant:
		return 100
	case have.Variant == "":
		return 50
	case want.Variant != "" && have.Variant < want.Variant && len(have.Variant) == len(want.Variant):
		return 10 + int(have.Variant[len(have.Variant)-1]-'0')
	}
	return 0
}

// SelectPlatform picks the manifest of an index that fits want best, and names
// the platforms of the others. Entries without a platform fit when they are
// alone; attestations ("unknown/unknown") are never picked nor named.
func SelectPlatform(idx Index, want Platform) (Descriptor, []string, error) {
	best, bestScore := -1, 0
	var all []int
	for i, d := range idx.Manifests {
		if d.Platform != nil && d.Platform.OS == "unknown" {
			continue
		}
		all = append(all, i)
		score := 0
		if d.Platform != nil {
			score = MatchPlatform(want, *d.Platform)
		}
		if score > bestScore {
			best, bestScore = i, score
		}
	}
	if best < 0 && len(all) == 1 && idx.Manifests[all[0]].Platform == nil {
		best = all[0]
	}
	var others []string
	for _, i := range all {
		if p := idx.Manifests[i].Platform; i != best && p != nil {
			others = append(others, PlatformString(*p))
		}
	}
	if best < 0 {
		return Descriptor{}, others, fmt.Errorf("platform %s: %w: the index has %s", PlatformString(want), ErrNotFound, orNone(others))
	}
	return idx.Manifests[best], others, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
