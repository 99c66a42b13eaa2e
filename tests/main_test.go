// Package tests runs the built programs the way a user's shell does.
//
// The scripts in tests/script are testscript files: each has the programs and
// docksmith first on its PATH, a home and a store of its own, and no network.
// As root every script runs a second time as an ordinary user.
package tests

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"docksmith/lib/sandbox"
)

// top is the directory made for this run; it is readable by every user, so
// that the same files serve the run as an ordinary user.
var top = os.Getenv("DOCKSMITH_TEST_TOP")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if dir := os.Getenv(removeVariable); dir != "" {
		if err := sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, "clean up:", err)
			return 1
		}
		return removeTree(dir)
	}
	if words := os.Getenv(laterVariable); words != "" {
		return laterMain(words, flag.Args())
	}
	if class := os.Getenv(plantVariable); class != "" {
		return plantedMain(class, flag.Args())
	}
	if top == "" {
		dir, err := os.MkdirTemp("", "docksmith-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer removeAll(dir)
		top = dir
		if err := buildPrograms(filepath.Join(dir, "bin")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// buildPrograms makes what `make` puts into bin, and what scripts put into images.
func buildPrograms(bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(bin), 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", bin+"/", "../cmd/...", "./inside/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	if err := os.Symlink("ds-exec", filepath.Join(bin, "ds-runtime")); err != nil {
		return err
	}
	script, err := os.ReadFile("../scripts/docksmith")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bin, "docksmith"), script, 0o755)
}

// removeVariable makes the test binary remove a directory and nothing else.
const removeVariable = "DOCKSMITH_TEST_REMOVE"

// removeAll removes dir. An ordinary user's stores have files of users that
// exist in a user namespace alone; they are removed from inside one.
func removeAll(dir string) {
	if os.Geteuid() == 0 {
		removeTree(dir)
		return
	}
	self, err := os.Executable()
	if err == nil {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), removeVariable+"="+dir)
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
	}
}

// removeTree removes dir also when a test left directories without permission
// to enter them.
func removeTree(dir string) int {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // RemoveAll below tells what could not be removed
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		return 1
	}
	return 0
}
