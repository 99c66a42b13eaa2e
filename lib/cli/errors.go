package cli

import (
	"errors"
	"fmt"
	"io"
)

// Usagef is an error of the caller: it is followed by a pointer to --help and
// exits with 2, or the command's FailStatus.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// ExitStatus ends the program with status n and prints nothing: the verdict of
// a comparison, or the status of a command that was run for the caller.
func ExitStatus(n int) error { return &StatusError{Status: n} }

// StatusError carries an exit status of its own. With a nil Err it is silent.
type StatusError struct {
	Status int
	Err    error
}

func (e *StatusError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

func (e *StatusError) Unwrap() error { return e.Err }

// WithHint adds a line "NAME: hint: ..." behind the error's own. It is nil for
// a nil error.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{err, fmt.Sprintf(format, args...)}
}

type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// Located is a fault in a file, printed as "FILE:LINE: error: ..." so that
// editors can jump to it.
type Located struct {
	File string
	Line int
	Err  error
}

func (e *Located) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

func (e *Located) Unwrap() error { return e.Err }

// Told marks an error that the caller has been told of: the program ends with
// its status and prints nothing more. It is nil for a nil error.
func Told(err error) error {
	if err == nil {
		return nil
	}
	return &toldError{err}
}

type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

// Report prints err as the end of the program would and returns it marked as
// told: for a program that has more to do after that.
func (s *IO) Report(err error) error {
	if err != nil {
		report(s.Stderr, s.invocation, err)
	}
	return Told(err)
}

// Status is the exit status that the program would end with because of err.
func (s *IO) Status(err error) int { return report(io.Discard, s.invocation, err) }

// report prints err as users see it and returns the exit status: the one table
// from errors to statuses.
func report(w io.Writer, inv *invocation, err error) int {
	if err == nil {
		return 0
	}
	status := max(1, inv.command.FailStatus)
	var told *toldError
	if errors.As(err, &told) {
		w = io.Discard
	}
	var (
		usage   *usageError
		located *Located
		stated  *StatusError
		hinted  *hintError
	)
	if errors.As(err, &stated) {
		status = stated.Status
		if stated.Err == nil {
			return status
		}
	}
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(w, "%s: error: %v\nsee %s --help\n", inv.path, err, inv.path)
		status = max(2, inv.command.FailStatus)
	case errors.As(err, &located):
		fmt.Fprintf(w, "%s:%d: error: %v\n", located.File, located.Line, located.Err)
	default:
		fmt.Fprintf(w, "%s: error: %v\n", inv.path, err)
	}
	for e := err; errors.As(e, &hinted); e = hinted.error {
		fmt.Fprintf(w, "%s: hint: %s\n", inv.path, hinted.hint)
	}
	return status
}
