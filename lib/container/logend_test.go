package container

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLastLineOfALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, err := LastLine(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	l := ok(OpenLog(path))
	for _, c := range []struct{ out, want string }{
		{"", ""},
		{"one\n", "one"},
		{"two\nthree\n \n\n", "three"},
		{"no end", "no end"},
		{strings.Repeat("x", logPiece) + "tail\n", "tail"}, // a piece by itself
		{strings.Repeat("line\n", 20_000) + "last\n", "last"},
	} {
		check(t, l.Copy(Stdout, strings.NewReader(c.out)))
		if got := ok(LastLine(path)); got != c.want {
			t.Errorf("after %.20q: %.40q, want %.40q", c.out, got, c.want)
		}
	}
	// Half a record is not read, and what lies before the end is not either.
	whole := ok(os.ReadFile(path))
	check(t, os.WriteFile(path, append([]byte("no record\n"), append(whole, "2026-01-01T00:00:00.0"...)...), 0o600))
	if got := ok(LastLine(path)); got != "last" {
		t.Errorf("%q", got)
	}
}
