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

// The grammar of the distribution specification. Short names are not
// rewritten: "debian" is "debian", not somebody's registry.
//
// They are compiled at their first use: every program links this package, and
// few parse a name.
var (
	hostPattern      = lazy(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$`)
	componentPattern = lazy(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	tagPattern       = lazy(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// Ref is a parsed image reference, NAME[:TAG][@DIGEST]; Name holds the registry
// host and port where there is one. A Ref made by ParseRef is safe as a file
// name component of nothing (it has slashes) and as an operand (no leading "-").
type Ref struct {
	Name   string
	Tag    string
	Digest digest.Digest
}

// ParseRef reads NAME[:TAG][@DIGEST]. Without a tag and a digest the tag is
// "latest"; with a digest and no tag the tag stays empty.
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
		if !tagPattern().MatchString(r.Tag) {
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
		if componentPattern().MatchString(c) {
			continue
		}
		if componentPattern().MatchString(strings.ToLower(c)) {
			return fmt.Errorf("%q: names are lower case", c)
		}
		return fmt.Errorf("%q: want lower-case letters and digits, separated by \".\", \"_\", \"__\" or \"-\"", c)
	}
	return nil
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
