package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mattn/go-isatty"
)

// IO is a program's view of its streams and settings.
type IO struct {
	// Name is how the program calls itself in messages, with its subcommand.
	Name string
	// Stdin is the standard input as it is.
	Stdin *os.File
	// Stdout is buffered; [Main] flushes and closes it, and a failure of
	// that fails the program.
	Stdout *Output
	// Stderr is unbuffered.
	Stderr *os.File
	// Flags are the parsed flags, to ask whether one was given.
	Flags *Flags

	ctx        context.Context // Run's own: reading stdin must not outlast it
	invocation *invocation
}

// Output is a buffered standard output. It is not safe for concurrent use.
type Output struct {
	*bufio.Writer
	file *os.File
}

func newOutput(f *os.File) *Output { return &Output{bufio.NewWriterSize(f, 64<<10), f} }

// IsTerminal tells whether a person reads the output directly.
func (o *Output) IsTerminal() bool { return isTerminal(o.file) }

// File is the descriptor below, for handing to a child process once what is
// buffered has been flushed.
func (o *Output) File() *os.File { return o.file }

func (o *Output) close() error {
	err := o.Flush()
	if cerr := o.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

// Terminal tells whether f is a terminal.
func Terminal(f *os.File) bool { return isTerminal(f) }

func isTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// Warnf prints "NAME: warning: ..." on stderr.
func (s *IO) Warnf(format string, args ...any) { s.say("warning", format, args) }

// Hintf prints "NAME: hint: ..." on stderr.
func (s *IO) Hintf(format string, args ...any) { s.say("hint", format, args) }

func (s *IO) say(kind, format string, args []any) {
	fmt.Fprintf(s.Stderr, "%s: %s: %s\n", s.Name, kind, fmt.Sprintf(format, args...))
}

// JSON writes v to stdout as one compact line without HTML escaping.
func (s *IO) JSON(v any) error { return WriteJSON(s.Stdout, v) }

// End closes a stream of JSON lines, so that one that was cut shows.
func (s *IO) End() error { return s.JSON(map[string]string{"type": "end"}) }

// JSONLines writes a list as a stream of JSON lines with its end.
func JSONLines[T any](s *IO, list []T) error {
	for _, v := range list {
		if err := s.JSON(v); err != nil {
			return err
		}
	}
	return s.End()
}

// WriteJSON writes v to w as one compact line without HTML escaping.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Setting is a value and where it comes from: "environment" or "default".
type Setting struct{ Name, Value, Origin string }

// Root is the state directory: $DOCKSMITH_ROOT, else /var/lib/docksmith for
// root, else $XDG_DATA_HOME/docksmith, else ~/.local/share/docksmith. The path
// is absolute.
func (s *IO) Root() (string, error) {
	set, err := RootSetting()
	return set.Value, err
}

// RootSetting is the state directory with its origin.
func RootSetting() (Setting, error) {
	set := Setting{Name: "DOCKSMITH_ROOT", Origin: "default"}
	if v := os.Getenv(set.Name); v != "" {
		set.Origin = "environment"
		abs, err := filepath.Abs(v)
		set.Value = abs
		return set, err
	}
	if os.Geteuid() == 0 {
		set.Value = "/var/lib/docksmith"
		return set, nil
	}
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return set, WithHint(fmt.Errorf("find the state directory: %w", err), "set DOCKSMITH_ROOT")
		}
		data = filepath.Join(home, ".local", "share")
	}
	set.Value = filepath.Join(data, "docksmith")
	return set, nil
}

// SourceDateEpoch is the time that new layers and images carry:
// $SOURCE_DATE_EPOCH in whole seconds, else 1970-01-01T00:00:00Z.
func SourceDateEpoch() (time.Time, error) {
	v := os.Getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, Usagef("SOURCE_DATE_EPOCH: %q is not a number of seconds since 1970", v)
	}
	return time.Unix(n, 0).UTC(), nil
}
