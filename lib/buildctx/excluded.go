package buildctx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReadIgnore reads the ignore file of a context directory: FILE.dockerignore
// beside the Dockerfile FILE or, without one, the .dockerignore in dir. It is
// nil where there is neither. It follows symbolic links, so dir must be trusted.
func ReadIgnore(dir, dockerfile string) (*Ignore, error) {
	names := []string{filepath.Join(dir, ".dockerignore")}
	if dockerfile != "" {
		names = []string{dockerfile + ".dockerignore", names[0]}
	}
	for _, name := range names {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(err, fmt.Errorf("read %s: not a regular file", name))
		}
		if name == names[len(names)-1] {
			name = ".dockerignore"
		}
		return ParseIgnore(f, name)
	}
	return nil, nil
}

// Excluded tells which rule hides a source of COPY, and everything that it
// stands for, as text for a message. It says nothing about sources with
// wildcards.
func (c *Context) Excluded(operand string) (rule string, ok bool) {
	if HasMeta(operand) {
		return "", false
	}
	if Clean(operand) == "." {
		return c.excludesAll()
	}
	if _, err := c.Lstat(operand); err == nil {
		return "", false
	} else if e, ok := errors.AsType[*IgnoredError](err); ok {
		return c.place(e.Rule), true
	}
	r, hidden := c.Ignored(operand)
	return c.place(r), hidden
}

// excludesAll finds the rule that leaves nothing of the context.
func (c *Context) excludesAll() (rule string, ok bool) {
	rules := c.o.Ignore.Rules()
	i := slices.IndexFunc(rules, func(r Rule) bool { return slices.Contains([]string{"*", "**", "**/*"}, r.Pattern) })
	if i < 0 || slices.ContainsFunc(rules[i:], func(r Rule) bool { return strings.HasPrefix(r.Pattern, "!") }) {
		return "", false
	}
	return c.place(rules[i]), true
}

func (c *Context) place(r Rule) string {
	return fmt.Sprintf("%s:%d %q", c.o.Ignore.Name(), r.Line, r.Pattern)
}
