package buildctx

import (
	"slices"
	"strings"
	"testing"
)

// Uses are the files and directories that are read, and no others.
func TestUses(t *testing.T) {
	dir := makeTree(t, "a", "dir/b", "dir/sub/c", "dir/hidden", "other/d", "link -> a", "to -> dir", "dir/l -> b")
	rules, err := ParseIgnore(strings.NewReader("dir/hidden\n"), ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		do   func(c *Context)
		want string
	}{
		{"walk", func(c *Context) { walkPaths(t, c, "dir", WalkOptions{}) }, "dir dir/b dir/sub dir/sub/c"},
		{"one file", func(c *Context) { walkPaths(t, c, "a", WalkOptions{}) }, "a"},
		{"a link", func(c *Context) { walkPaths(t, c, "link", WalkOptions{}) }, "."},
		{"below a link", func(c *Context) { walkPaths(t, c, "to/b", WalkOptions{}) }, ". dir/b"},
		{"wildcard", func(c *Context) { _, _ = c.Glob("dir/s*") }, "dir"},
		{"look", func(c *Context) { _, _ = c.Lstat("a") }, ""},
	}
	for _, tt := range tests {
		u := &Uses{}
		c, err := Open(dir, Options{Ignore: rules, Uses: u})
		if err != nil {
			t.Fatal(err)
		}
		tt.do(c)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := u.List(), strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}
