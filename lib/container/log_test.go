package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logged is what a log gives, as the streams had it.
func logged(t *testing.T, r *LogReader) (out, err string) {
	t.Helper()
	got := map[string]*strings.Builder{Stdout: {}, Stderr: {}}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got[Stdout].String(), got[Stderr].String()
		}
		check(t, err)
		if age := time.Since(rec.Time); age < 0 || age > time.Minute {
			t.Errorf("age %v", age)
		}
		got[rec.Stream].Write(rec.Bytes)
		if rec.Ends {
			got[rec.Stream].WriteByte('\n')
		}
	}
}

func TestLogKeepsEveryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := ok(OpenLog(path))
	noise := bytes.Repeat([]byte("\x00\xff\r\n \n\n long "), 5000)
	out := string(noise) + strings.Repeat("x", 3*logPiece) + "\nno end"
	check(t, l.Copy(Stdout, strings.NewReader(out)))
	check(t, l.Copy(Stderr, strings.NewReader("one\ntwo")))
	check(t, l.Copy(Stderr, strings.NewReader(" and more\n")))
	r := ok(ReadLog(path))
	defer r.Close()
	gotOut, gotErr := logged(t, r)
	if gotOut != out || gotErr != "one\ntwo and more\n" {
		t.Errorf("%d bytes of %d, %q", len(gotOut), len(out), gotErr)
	}
	// What comes later is read later, a record half written when it is whole.
	check(t, l.Copy(Stdout, strings.NewReader("later\n")))
	if got, _ := logged(t, r); got != "later\n" {
		t.Errorf("%q", got)
	}
	whole := ok(os.ReadFile(path))
	cut := len(whole)
	check(t, l.Copy(Stdout, strings.NewReader("half\n")))
	whole = ok(os.ReadFile(path))
	check(t, os.Truncate(path, int64(cut+20)))
	if got, _ := logged(t, r); got != "" {
		t.Errorf("%q", got)
	}
	check(t, os.WriteFile(path, whole, 0o600))
	if got, _ := logged(t, r); got != "half\n" {
		t.Errorf("%q", got)
	}
	check(t, l.Close())
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := ok(OpenLog(path))
	defer l.Close()
	for i := range 5 {
		check(t, l.Copy(Stdout, strings.NewReader(fmt.Sprintf("%d and", i))))
		check(t, l.Copy(Stdout, strings.NewReader(fmt.Sprintf(" %d\n", i))))
	}
	for n, want := range map[int]string{0: "", 1: "4 and 4\n", 2: "3 and 3\n4 and 4\n", 5: "0 and 0\n1 and 1\n2 and 2\n3 and 3\n4 and 4\n", 9: "0 and 0\n1 and 1\n2 and 2\n3 and 3\n4 and 4\n"} {
		r := ok(ReadLog(path))
		check(t, r.Tail(n))
		if got, _ := logged(t, r); got != want {
			t.Errorf("tail %d: %q", n, got)
		}
		r.Close()
	}
}

func TestFullDiskDoesNotHoldUp(t *testing.T) {
	l := ok(OpenLog("/dev/full"))
	defer l.Close()
	r := strings.NewReader(strings.Repeat("x\n", logPiece))
	if err := l.Copy(Stdout, r); err == nil || r.Len() > 0 {
		t.Errorf("%v, %d bytes not read", err, r.Len())
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte("2026-01-01T00:00:00.000000000Z stdout F hello\n2026-01-01T00:00:00.000000000Z stderr P x\n"))
	f.Add([]byte("2026-01-01T00:00:00Z stdout X hello\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "log")
		check(t, os.WriteFile(path, raw, 0o600))
		r := ok(ReadLog(path))
		defer r.Close()
		total := 0
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			total += len(rec.Bytes)
		}
		if total > len(raw) {
			t.Fatal("more than there is")
		}
	})
}
