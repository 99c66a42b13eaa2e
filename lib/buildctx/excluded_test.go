package buildctx_test

import (
	"os"
	"path/filepath"
	"testing"

	"docksmith/lib/buildctx"
)

func TestExcluded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"seen", "log/a", "src/a.o", "src/keep", "bare/x"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	try := func(operand, want string) {
		t.Helper()
		rules, err := buildctx.ReadIgnore(dir, filepath.Join(dir, "Dockerfile"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := buildctx.Open(dir, buildctx.Options{Ignore: rules})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if rule, ok := c.Excluded(operand); ok != (want != "") || ok && rule != want {
			t.Errorf("%s: got %q, %v, want %q", operand, rule, ok, want)
		}
	}
	try("seen", "")
	try(".", "")
	write(".dockerignore", "# c\nlog\nsrc\n!src/keep\nbare\n")
	try("seen", "")
	try("log", `.dockerignore:2 "log"`)
	try("/log/", `.dockerignore:2 "log"`)
	try("../log/a", `.dockerignore:2 "log"`)
	try("log/missing", `.dockerignore:2 "log"`)
	try("src", "") // something below it is seen
	try("src/keep", "")
	try("src/a.o", `.dockerignore:3 "src"`)
	try("l*", "")
	try("missing", "")
	try(".", "")
	write("Dockerfile.dockerignore", "*\n")
	try("seen", filepath.Join(dir, "Dockerfile.dockerignore")+`:1 "*"`)
	try(".", filepath.Join(dir, "Dockerfile.dockerignore")+`:1 "*"`)
	try("", filepath.Join(dir, "Dockerfile.dockerignore")+`:1 "*"`)
	write("Dockerfile.dockerignore", "*\n!seen\n")
	try(".", "")
}
