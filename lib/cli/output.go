package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// WithOutput calls f with what -o names: standard output, if that is no
// terminal or -o says "-", or a new file that gets its name when f succeeded.
func (s *IO) WithOutput(name string, f func(w io.Writer) error) error {
	switch {
	case name == "" && s.Stdout.IsTerminal():
		return WithHint(Usagef("a tar is not sent to a terminal"), "redirect it, or use -o FILE; -o - sends it all the same")
	case name == "" || name == "-":
		return f(s.Stdout)
	}
	return WriteFile(name, f)
}

// WriteFile calls f with a new file that takes the name when f succeeded and the
// bytes are on disk: the file appears whole or not at all. What is there and is
// no regular file, a device or a pipe, is written to and stays.
func WriteFile(name string, f func(w io.Writer) error) (err error) {
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

// umask can only be read by setting it.
func umask() os.FileMode {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return os.FileMode(mask)
}
