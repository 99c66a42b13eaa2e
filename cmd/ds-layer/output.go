package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"docksmith/lib/cli"
)

func outputFlag(f *cli.Flags, out *string) {
	f.StringVarP(out, "output", "o", "", "write to `FILE`, which appears whole or not at all")
	f.Complete("output", "file")
}

// withOutput calls f with what -o names: standard output, if that is no
// terminal or -o says "-", or a new file that gets its name when f succeeded.
func withOutput(s *cli.IO, name string, f func(w io.Writer) error) error {
	switch {
	case name == "" && s.Stdout.IsTerminal():
		return cli.WithHint(cli.Usagef("a tar is not sent to a terminal"), "redirect it, or use -o FILE; -o - sends it all the same")
	case name == "" || name == "-":
		return f(s.Stdout)
	}
	return writeFile(name, f)
}

func writeFile(name string, f func(w io.Writer) error) (err error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return writeDevice(name, f) // a rename would put a file in the place of /dev/null
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := f(tmp); err != nil {
		return err
	}
	if err := finishFile(tmp); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(tmp.Name(), name)
}

func writeDevice(name string, f func(w io.Writer) error) error {
	dev, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(dev), dev.Close())
}

// finishFile gives a temporary file the mode of an ordinary one and makes it last.
func finishFile(tmp *os.File) error {
	if err := tmp.Chmod(0o666 &^ umask()); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return tmp.Close()
}

// refuseSame is an error if the output file is also an input.
func refuseSame(out string, inputs ...string) error {
	if out == "" || out == "-" {
		return nil
	}
	to, err := os.Stat(out)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, in := range inputs {
		if from, err := os.Stat(in); in != "-" && err == nil && os.SameFile(from, to) {
			return cli.Usagef("%s is both input and output", in)
		}
	}
	return nil
}

// umask can only be read by setting it.
func umask() os.FileMode {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return os.FileMode(mask)
}
