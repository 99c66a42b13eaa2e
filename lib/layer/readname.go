package layer

import (
	"fmt"
	"strings"
)

// maxName is the length from which no system call takes a path.
const maxName = 4096

// reservedPrefix begins names that no layer may use for its own: one of them is
// the opaque mark, others were book-keeping of aufs.
const reservedPrefix = ".wh..wh."

// setPath gives e the clean form of name and turns whiteout names into the types
// they stand for. ignore: a reserved name, which means nothing to us.
func setPath(e *Entry, name string, o ReaderOptions) (ignore bool, err error) {
	if e.Path, err = cleanName(name, o.Limits.orDefault().Depth); err != nil {
		return false, err
	}
	if e.Type == TypeLink {
		if e.Linkname, err = cleanName(e.Linkname, o.Limits.orDefault().Depth); err != nil {
			return false, fmt.Errorf("target of hard link %q: %w", e.Path, err)
		}
	}
	if !o.Plain {
		if ignore, err = setWhiteout(e); err != nil || ignore {
			return ignore, err
		}
	}
	if e.Path == "." && e.Type != TypeDir && e.Type != TypeOpaque {
		return false, fmt.Errorf("%w: the root is a %v", ErrTar, e.Type)
	}
	return false, nil
}

// setWhiteout looks for the prefix. The name decides, whatever the type of the
// member. A name that removes nothing, "." or ".." is no whiteout anybody writes
// in good faith: it is refused, as is one in the middle of a path.
func setWhiteout(e *Entry) (ignore bool, err error) {
	if !strings.Contains(e.Path, WhiteoutPrefix) {
		return false, nil
	}
	dir, base := splitPath(e.Path)
	for p := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(p, reservedPrefix) && p != OpaqueName {
			return true, nil
		}
		if strings.HasPrefix(p, WhiteoutPrefix) {
			return false, fmt.Errorf("%w: %q is below a whiteout", ErrTar, e.Path)
		}
	}
	switch {
	case base == OpaqueName:
		e.Type, e.Path = TypeOpaque, dir
		if dir == "" {
			e.Path = "."
		}
	case strings.HasPrefix(base, reservedPrefix):
		return true, nil
	case strings.HasPrefix(base, WhiteoutPrefix):
		base = base[len(WhiteoutPrefix):]
		if base == "" || base == "." || base == ".." {
			return false, fmt.Errorf("%w: whiteout %q names nothing", ErrTar, e.Path)
		}
		e.Type, e.Path = TypeWhiteout, strings.TrimPrefix(dir+"/"+base, "/")
	}
	return false, nil
}

// cleanName makes a clean relative path of a name in a tar. Names are bytes; a
// backslash is one of them.
func cleanName(name string, depth int) (string, error) {
	if name == "" {
		return "", fmt.Errorf("%w: empty name", ErrTar)
	}
	if len(name) >= maxName {
		return "", fmt.Errorf("%w: name of %d bytes", ErrTar, len(name))
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("%w: name %q holds a NUL byte", ErrTar, name)
	}
	n, clean := 0, name[0] != '/'
	for p := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		switch p {
		case "..":
			return "", fmt.Errorf("%w: name %q leads upward", ErrTar, name)
		case "", ".":
			clean = false
		}
		n++
	}
	if n > depth {
		return "", fmt.Errorf("%w: name of %d elements", ErrTar, n)
	}
	if clean {
		return strings.TrimSuffix(name, "/"), nil
	}
	parts := strings.FieldsFunc(name, func(c rune) bool { return c == '/' })
	keep := parts[:0]
	for _, p := range parts {
		if p != "." {
			keep = append(keep, p)
		}
	}
	if len(keep) == 0 {
		return ".", nil
	}
	return strings.Join(keep, "/"), nil
}
