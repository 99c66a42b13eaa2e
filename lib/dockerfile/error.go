package dockerfile

import (
	"fmt"
	"strconv"
)

// Error is a fault in a Dockerfile, at the line where the faulty instruction
// begins.
type Error struct {
	File string
	Line int
	Err  error
}

func (e *Error) Error() string { return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// quoted is %q for foreign text of any length: messages stay one short line.
func quoted(s string) string {
	const most = 80
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q...", s[:most])
}
