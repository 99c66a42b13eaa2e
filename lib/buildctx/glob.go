package buildctx

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// HasMeta reports whether an operand holds a wildcard or an escape, and so
// means Glob rather than Stat.
func HasMeta(operand string) bool { return strings.ContainsAny(operand, `*?[\`) }

// Glob returns the visible entries whose paths match pattern name by name with
// the rules of path/filepath.Match, sorted name by name. The names before the
// first wildcard follow symbolic links, those after it do not; a match that is
// itself a link is returned as the link. "**" is no deeper than "*". Without a
// match the result is empty; only a malformed pattern and a system's refusal
// are errors.
func (c *Context) Glob(pattern string) ([]string, error) {
	names := strings.Split(Clean(pattern), "/")
	for _, name := range names {
		if _, err := filepath.Match(name, ""); err != nil {
			return nil, pathError("glob", pattern, err)
		}
	}
	at := "."
	for len(names) > 1 && !HasMeta(names[0]) {
		at = path.Join(at, names[0])
		names = names[1:]
	}
	dir, err := c.resolve(at)
	if err != nil {
		return nil, absent(err)
	}
	return c.glob(nil, dir.Path, names)
}

// glob appends the matches of names below the link-free directory dir.
func (c *Context) glob(found []string, dir string, names []string) ([]string, error) {
	if !HasMeta(names[0]) {
		info, err := c.lstat(path.Join(dir, names[0]))
		if err != nil {
			return found, absent(err)
		}
		return c.descend(found, info, names)
	}
	infos, err := c.readDir(dir)
	if err != nil {
		return found, absent(err)
	}
	for _, info := range infos {
		if ok, _ := filepath.Match(names[0], path.Base(info.Path)); !ok {
			continue
		}
		if found, err = c.descend(found, info, names); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (c *Context) descend(found []string, info Info, names []string) ([]string, error) {
	if len(names) == 1 {
		return append(found, info.Path), nil
	}
	if info.Type != Dir {
		return found, nil
	}
	return c.glob(found, info.Path, names[1:])
}

// absent drops the errors that mean there is nothing to match.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
