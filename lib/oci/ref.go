package oci

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// DefaultTag is the tag of a reference that says neither tag nor digest.
const DefaultTag = "latest"

// maxName is the longest name every registry accepts.
const maxName = 255

// maxTag is the longest tag.
const maxTag = 128

// hostPattern is the grammar of the distribution specification. It is compiled
// at its first use: few names have a host.
var hostPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$`)
})

// Ref is a parsed image reference, NAME[:TAG][@DIGEST]; Name holds the registry
// host and port where there is one. A Ref made by ParseRef is safe as a file
// name component of nothing (it has slashes) and as an operand (no leading "-").
type Ref struct {
	Name   string
	Tag    string
	Digest digest.Digest
}

// ParseRef reads NAME[:TAG][@DIGEST]. Without a tag and a digest the tag is
// "latest"; with a digest and no tag the tag stays empty. Short names are not
// rewritten: "debian" is "debian", not somebody's registry.
func ParseRef(s string) (Ref, error) {
	var r Ref
	rest := s
	if name, d, ok := strings.Cut(s, "@"); ok {
		if err := ValidDigest(digest.Digest(d)); err != nil {
			return Ref{}, fmt.Errorf("reference %q: %w", s, err)
		}
		r.Digest, rest = digest.Digest(d), name
	}
	r.Name = rest
	// The tag's colon comes after the last slash; one before it is a port's.
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		r.Name, r.Tag = rest[:i], rest[i+1:]
		if !validTag(r.Tag) {
			return Ref{}, fmt.Errorf("reference %q: tag %q: want letters, digits, \"_\", \".\" and \"-\", 128 at most, not beginning with \".\" or \"-\"", s, r.Tag)
		}
	}
	if err := validName(r.Name); err != nil {
		return Ref{}, fmt.Errorf("reference %q: %w", s, err)
	}
	if r.Tag == "" && r.Digest == "" {
		r.Tag = DefaultTag
	}
	return r, nil
}

func validName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty")
	case len(name) > maxName:
		return fmt.Errorf("the name is longer than %d bytes", maxName)
	case isHex64(name):
		return fmt.Errorf("a name of 64 hexadecimal digits would look like an ID")
	}
	path := name
	if host, rest, ok := strings.Cut(name, "/"); ok && isHost(host) {
		if !hostPattern().MatchString(host) {
			return fmt.Errorf("%q is not a registry host", host)
		}
		path = rest
	}
	for c := range strings.SplitSeq(path, "/") {
		if validComponent(c) {
			continue
		}
		if validComponent(strings.ToLower(c)) {
			return fmt.Errorf("%q: names are lower case", c)
		}
		return fmt.Errorf("%q: want lower-case letters and digits, separated by \".\", \"_\", \"__\" or \"-\"", c)
	}
	return nil
}

const (
	lowerAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	wordChars  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lowerAlnum + "_.-"
)

// isWord is [A-Za-z0-9_.-]+. Every program parses names: an expression for them
// takes longer to compile than much of what is done with them.
func isWord(s string) bool { return s != "" && strings.Trim(s, wordChars) == "" }

func validTag(s string) bool {
	return isWord(s) && len(s) <= maxTag && s[0] != '.' && s[0] != '-'
}

// validComponent is [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, as the distribution
// specification has it.
func validComponent(s string) bool {
	for {
		rest := strings.TrimLeft(s, lowerAlnum)
		if rest == s {
			return false
		}
		if rest == "" {
			return true
		}
		s = strings.TrimLeft(rest, "._-")
		switch separator := rest[:len(rest)-len(s)]; separator {
		case ".", "_", "__":
		default:
			if strings.Trim(separator, "-") != "" {
				return false
			}
		}
	}
}

// isHost tells a registry host from the first component of a path, by the rule
// every engine uses: hosts have a dot, a port, capitals, or are "localhost".
func isHost(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:[") || strings.ToLower(s) != s
}

// Host is the registry host (and port) of r, "" when the name has none.
func (r Ref) Host() string {
	if host, _, ok := strings.Cut(r.Name, "/"); ok && isHost(host) {
		return host
	}
	return ""
}

// String is the inverse of ParseRef, with the default tag written out.
func (r Ref) String() string {
	s := r.Name
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// ValidDigest accepts "sha256:" and 64 lower-case hexadecimal digits and nothing
// else: a digest becomes a file name, and every image in use has this form.
func ValidDigest(d digest.Digest) error {
	hex, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || !isHex64(hex) {
		return fmt.Errorf("digest %q: want sha256: and 64 lower-case hexadecimal digits", string(d))
	}
	return nil
}

func isHex64(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
