package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// box is a directory with a store of its own, in which a test runs programs.
type box struct {
	t   *testing.T
	dir string
	env []string
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir, err := os.MkdirTemp(workRoot(t), "box-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(dir) })
	b := &box{t: t, dir: dir}
	b.env = append(os.Environ(), "PATH="+filepath.Join(top, "bin")+":"+os.Getenv("PATH"),
		"DOCKSMITH_ROOT="+b.path("store"), "HOME="+dir, "SOURCE_DATE_EPOCH=", "NO_COLOR=1", "LC_ALL=C")
	return b
}

func (b *box) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// command prepares a shell command line in the box.
func (b *box) command(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

// sh runs a shell command line that must succeed, and returns its stdout
// without the last newline.
func (b *box) sh(script string) string {
	b.t.Helper()
	out, err := b.try(script)
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return out
}

// try is sh for what may fail; the error carries stderr.
func (b *box) try(script string) (string, error) {
	cmd := b.command(script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = errors.Join(err, errors.New(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), err
}

// status runs a shell command line and returns its exit status.
func (b *box) status(script string) int {
	_, err := b.try(script)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitStatus(exit)
	}
	return 0
}

func (b *box) write(name, text string) {
	b.t.Helper()
	path := b.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// base makes the offline base image.
func (b *box) base() { b.t.Helper(); b.sh("docksmith base base") }

// needs skips the test, with a sentence, unless the programs are installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: no comparison with it", p)
		}
	}
}

func needsRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root: %s", why)
	}
}

// digest is the manifest digest of an image in the box's store.
func (b *box) digest(ref string) string {
	b.t.Helper()
	for _, line := range strings.Split(b.sh("ds-store ls --json"), "\n") {
		var image struct{ Name, Digest string }
		if err := json.Unmarshal([]byte(line), &image); err != nil {
			b.t.Fatal(err)
		}
		if image.Name == ref {
			return image.Digest
		}
	}
	b.t.Fatalf("no image %s", ref)
	return ""
}
