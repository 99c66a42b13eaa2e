package buildlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// m is a record as a builder may write it.
type m map[string]any

// ran is the record of a step of the build itself.
var ran = m{"type": "run"}

// write makes a build that began so many minutes ago and was done.
func write(t *testing.T, d *Dir, minutes int, lines ...m) string {
	t.Helper()
	l := d.Begin()
	began := time.Now().Add(-time.Duration(minutes) * time.Minute)
	l.Record(m{"type": "build", "time": began, "file": "Dockerfile", "tags": []string{"app:v1"}})
	for _, line := range lines {
		if line["type"] == "run" {
			line = m{"type": "run", "log": l.Ref(3)}
		}
		l.Record(line)
	}
	l.Record(m{"type": "end", "digest": "sha256:" + l.ID() + strings.Repeat("0", 52), "seconds": 1.5})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(d.path, l.ID(), recordFile)
	if err := os.Chtimes(record, began, began); err != nil {
		t.Fatal(err)
	}
	return l.ID()
}

func printed(t *testing.T, b *Build, step int) string {
	t.Helper()
	r, err := b.Output(step)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOutputIsKeptWholeAndFoundAgain(t *testing.T) {
	d := New(t.TempDir())
	l := d.Begin()
	l.Record(m{"type": "build", "time": time.Now()})
	l.Record(m{"type": "start", "step": 2, "text": "RUN a\\\n b"})
	l.Record(m{"type": "run", "step": 2, "log": l.Ref(2)})
	big := strings.Repeat("x<&>\xff\x00\n", 100_000)
	for range 2 { // two commands of one step, triggers of its base
		o := l.Output(2)
		for part := range slices.Chunk([]byte(big), 7000) {
			if n, err := o.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.Record(m{"type": "start", "step": 3, "text": "RUN quiet"})
	l.Record(m{"type": "run", "step": 3, "log": l.Ref(3)})
	if err := l.Output(3).Close(); err != nil {
		t.Fatal(err)
	}
	l.Record(m{"type": "start", "step": 4, "text": "ENV a=b"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	later := write(t, d, -1, m{"type": "start", "step": 7, "text": "RUN a"}, m{"type": "done", "step": 7, "cache": "hit", "log": l.Ref(2)})

	b, err := d.Find(l.ID()[:4])
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[int]string{2: big + big, 3: "", 4: "ran no command", 5: "no step 5"} {
		got := printed(t, b, step)
		if got != want && (step < 4 || !strings.Contains(got, want)) {
			t.Errorf("step %d: %d bytes, want %d", step, len(got), len(want))
		}
	}
	if b, err = d.Find(Latest); err != nil || b.ID != later || printed(t, b, 7) != big+big {
		t.Errorf("the output of a step from the cache: %v, %v", b, err)
	}
	if err := os.RemoveAll(filepath.Join(d.path, l.ID())); err != nil {
		t.Fatal(err)
	}
	if got := printed(t, b, 7); !strings.Contains(got, "was that of build "+l.ID()+", which was removed") {
		t.Error(got)
	}
}

func TestOnlyTheOwnerCanRead(t *testing.T) {
	d := New(t.TempDir())
	l := d.Begin()
	l.Record(m{"type": "build"})
	o := l.Output(1)
	_, _ = o.Write([]byte("x"))
	if err := errors.Join(o.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, l.ID(): fs.ModeDir | 0o700, l.ID() + "/" + recordFile: 0o600, l.ID() + "/1.log": 0o600} {
		info, err := os.Stat(filepath.Join(d.path, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// TestStates: what a record without an end means depends on who holds it.
func TestStates(t *testing.T) {
	d := New(t.TempDir())
	states := func() map[string]string {
		list, err := d.List()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, b := range list {
			got[b.ID] = b.State
		}
		return got
	}
	want := map[string]string{}
	for state, end := range map[string]m{Done: {"type": "end"}, Failed: {"type": "end", "failed": true}, Cancelled: {"type": "end", "failed": true, "cancelled": true}, Cut: {"type": "done"}} {
		l := d.Begin()
		l.Record(m{"type": "build", "time": time.Now()})
		l.Record(end)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		want[l.ID()] = state
	}
	l := d.Begin()
	l.Record(m{"type": "build", "time": time.Now()})
	if diff := cmp.Diff(want, states()); diff != "" {
		t.Error("before the flush:", diff)
	}
	l.Flush()
	want[l.ID()] = Running
	if diff := cmp.Diff(want, states()); diff != "" {
		t.Error("after the flush:", diff)
	}
	// Killed in the middle of a line.
	if _, err := l.record.WriteString(`{"type":"end"`); err != nil {
		t.Fatal(err)
	}
	l.record.Close()
	want[l.ID()] = Cut
	if diff := cmp.Diff(want, states()); diff != "" {
		t.Error("after the death:", diff)
	}
}

func TestFind(t *testing.T) {
	d := New(t.TempDir())
	old, last := write(t, d, 9), write(t, d, 1)
	b, err := d.Find(last)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{Latest: last, old[:6]: old, b.Digest: last, b.Digest[:20]: last, b.Digest[7:27]: last, old[:3]: "", "nope": "", "": "", "sha256:": ""} {
		b, err := d.Find(name)
		switch {
		case want == "" && !errors.Is(err, fs.ErrNotExist):
			t.Errorf("%q: %v, want not found", name, err)
		case want != "" && (err != nil || b.ID != want):
			t.Errorf("%q: %v, %v, want %s", name, b, err, want)
		}
	}
	if b, err := d.Find("app", "app:v1"); err != nil || b.ID != last {
		t.Errorf("by tag: %v, %v", b, err)
	}
	if _, err := New(t.TempDir()).Find(Latest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no builds at all: %v", err)
	}
	for name, want := range map[string]string{"a:3": "a 3", "a:v1": "a:v1 0", "a:v1:2": "a:v1 2", "a": "a 0", "a:0": "a:0 0", "a:-1": "a:-1 0", "h:5/x": "h:5/x 0"} {
		if build, step := SplitStep(name); fmt.Sprint(build, " ", step) != want {
			t.Errorf("%s: %s %d, want %s", name, build, step, want)
		}
	}
}

func TestPrune(t *testing.T) {
	d := New(t.TempDir())
	running := d.Begin()
	running.Record(m{"type": "build", "time": time.Now()})
	running.Flush()
	defer running.Close()
	hour, day := 60, 24*60
	old := time.Now().Add(-time.Duration(90*day) * time.Minute)
	if err := os.Chtimes(filepath.Join(d.path, running.ID(), recordFile), old, old); err != nil {
		t.Fatal(err)
	}
	ancient, referred := write(t, d, 31*day, ran), write(t, d, 32*day, ran)
	var recent []string
	for i := range MaxBuilds - 1 {
		recent = append(recent, write(t, d, hour+i))
	}
	recent = append(recent, write(t, d, 5, m{"type": "done", "log": referred + ":3"}))
	surplus := write(t, d, 29*day)
	// What is half made or half removed, and what is not ours.
	half := filepath.Join(d.path, "00000000000a")
	stale := filepath.Join(d.path, "00000000000b")
	stranger := filepath.Join(d.path, "notes.txt")
	for _, dir := range []string{half, stale, stranger} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}

	want := []string{ancient, surplus, "00000000000b"}
	slices.Sort(want)
	for _, dryRun := range []bool{true, false} {
		got, err := d.Prune(dryRun)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("removed %v, %v; want %v", got, err, want)
		}
	}
	for _, id := range append(recent, referred, running.ID(), "00000000000a", "notes.txt") {
		if _, err := os.Stat(filepath.Join(d.path, id)); err != nil {
			t.Error(err)
		}
	}
	for _, id := range want {
		if _, err := os.Stat(filepath.Join(d.path, id)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", id, err)
		}
	}
}

// TestTidy: it looks at each build only when it is time to.
func TestTidy(t *testing.T) {
	d := New(t.TempDir())
	count := func() int {
		names, err := d.names()
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	tidy := func(id string) {
		t.Helper()
		if err := (&Log{dir: d, id: id}).Tidy(); err != nil {
			t.Fatal(err)
		}
	}
	const seldom, often = "0bcdef012345", "10cdef012345"
	tidy(often)
	if _, err := os.Stat(d.path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a directory was made for nothing")
	}
	write(t, d, 1)
	tidy(often) // never done before
	old := write(t, d, 50*24*60)
	tidy(often)
	if count() != 2 {
		t.Error("ages were looked at twice a day")
	}
	past := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(d.path, sweptFile), past, past); err != nil {
		t.Fatal(err)
	}
	tidy(often)
	if _, err := os.Stat(filepath.Join(d.path, old)); count() != 1 || err == nil {
		t.Error("an old build stays")
	}
	for range MaxBuilds + 2 {
		write(t, d, 2)
	}
	tidy(often)
	if count() != MaxBuilds+3 {
		t.Error("builds were counted by one that need not")
	}
	tidy(seldom)
	if count() != MaxBuilds {
		t.Errorf("%d builds stay", count())
	}
}

// TestALogThatCannotBeWrittenStopsNobody.
func TestALogThatCannotBeWrittenStopsNobody(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "builds"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := New(root).Begin()
	l.Record(m{"type": "build"})
	l.Flush()
	o := l.Output(1)
	for range 2 {
		if n, err := o.Write([]byte("hello")); n != 5 || err != nil {
			t.Error(n, err)
		}
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err == nil || !strings.HasPrefix(err.Error(), "write build log: ") {
		t.Errorf("error %v", err)
	}
	// A full disk while an output is written: the record says what it can.
	d := New(t.TempDir())
	l = d.Begin()
	l.Record(m{"type": "build"})
	l.Flush()
	if err := os.Symlink("/dev/full", l.Path(1)); err != nil {
		t.Fatal(err)
	}
	o = l.Output(1)
	if n, err := o.Write([]byte("hello")); n != 5 || err != nil {
		t.Error(n, err)
	}
	l.Record(m{"type": "end"})
	if err := errors.Join(o.Close(), l.Close()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	if b, err := d.Find(l.ID()); err != nil || b.State != Done {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestAgainReadsWhatIsNotOver: what was over is taken from the last listing.
func TestAgainReadsWhatIsNotOver(t *testing.T) {
	d := New(t.TempDir())
	gone, done := write(t, d, 3), write(t, d, 2)
	l := d.Begin()
	l.Record(m{"type": "build", "time": time.Now()})
	l.Record(m{"type": "start", "step": 1, "text": "RUN a", "at": 0.25})
	l.Flush()
	before, err := d.List()
	if err != nil || len(before) != 3 || before[0].State != Running {
		t.Fatal(before, err)
	}
	l.Record(m{"type": "done", "step": 1, "seconds": 1, "at": 1.5})
	l.Record(m{"type": "end", "seconds": 2})
	if err := errors.Join(l.Close(), os.RemoveAll(filepath.Join(d.path, gone)), os.WriteFile(filepath.Join(d.path, done, recordFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	after, err := d.Again(before)
	if err != nil || len(after) != 2 {
		t.Fatal(after, err)
	}
	if after[0].ID != l.ID() || after[0].State != Done || after[0].Steps[0].Began != 0.25 || after[0].Steps[0].Ended != 1.5 {
		t.Errorf("%+v", after[0])
	}
	if after[1] != before[1] || after[1].ID != done {
		t.Errorf("%+v", after[1])
	}
}
