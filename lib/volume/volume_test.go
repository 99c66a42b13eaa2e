package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func nobody(string) ([]string, error) { return nil, nil }

func open(t *testing.T) *Set {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), "volumes"))
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"ab": true, "A0": true, "a_.-": true, "0": false, "a": false, "": false, ".a": false, "-a": false, "..": false,
		"a/b": false, "a:b": false, "ä0": false, "a\x00": false, "a b": false, strings.Repeat("a", 200): true, strings.Repeat("a", 201): false,
	} {
		if ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	s := open(t)
	for _, name := range []string{"../x", ".new-1", "a", "x/../../y"} {
		if _, err := s.Create(name, Options{}); !errors.Is(err, ErrName) {
			t.Errorf("create %q: %v", name, err)
		}
		if err := s.Remove(name, nobody); !errors.Is(err, ErrName) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
}

func TestLife(t *testing.T) {
	s := open(t)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	v := must[*Volume](t)(s.Create("data", Options{Labels: map[string]string{"a": "b"}}))
	if info, err := os.Stat(v.Data()); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	again := must[*Volume](t)(s.Create("data", Options{Anonymous: true}))
	if again.Anonymous || again.Labels["a"] != "b" || !again.Created.Equal(v.Created) {
		t.Errorf("what was there was changed: %+v", again)
	}
	anon := must[*Volume](t)(s.Create("", Options{Anonymous: true}))
	if len(anon.Name) != 64 || !anon.Anonymous {
		t.Errorf("%+v", anon)
	}
	if list := must[[]*Volume](t)(s.List()); len(list) != 2 {
		t.Errorf("%v", list)
	}
	hold := must[interface{ Close() error }](t)(holdOf(v))
	if err := s.Remove("data", nobody); !errors.Is(err, ErrInUse) {
		t.Errorf("a held volume was removed: %v", err)
	}
	hold.Close()
	err := s.Remove("data", func(name string) ([]string, error) { return []string{"web", name}, nil })
	if !errors.Is(err, ErrInUse) || !strings.HasSuffix(err.Error(), "in use by web, data") {
		t.Errorf("%v", err)
	}
	if err := s.Remove("data", nobody); err != nil {
		t.Error(err)
	}
	if _, err := v.Hold(); !errors.Is(err, ErrNotFound) {
		t.Errorf("a volume that has gone was held: %v", err)
	}
}

func holdOf(v *Volume) (interface{ Close() error }, error) { return v.Hold() }

// TestReplaced takes hold of a volume that was removed and made again.
func TestReplaced(t *testing.T) {
	s := open(t)
	v := must[*Volume](t)(s.Create("data", Options{}))
	f := must[*os.File](t)(os.Open(v.dir))
	defer f.Close()
	if err := s.Remove("data", nobody); err != nil {
		t.Fatal(err)
	}
	must[*Volume](t)(s.Create("data", Options{}))
	if err := v.still(f); err == nil {
		t.Error("the old directory is taken for the new one")
	}
}

// TestTogether has many make, hold and remove one volume. Who holds it has it
// until it is let go.
func TestTogether(t *testing.T) {
	s := open(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 30 {
				v, err := s.Create("data", Options{})
				if err != nil {
					t.Error(err)
					return
				}
				h, err := v.Hold()
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(v.Data()); err != nil {
					t.Errorf("removed under its user: %v", err)
				}
				h.Close()
				if err := s.Remove("data", nobody); err != nil && !errors.Is(err, ErrInUse) && !errors.Is(err, ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestFill fills a volume once; what a killed filler left is thrown away, what
// is a user's is not.
func TestFill(t *testing.T) {
	s := open(t)
	v := must[*Volume](t)(s.Create("data", Options{}))
	done := must[func() error](t)(v.Fill())
	if done == nil {
		t.Fatal("an empty volume is not to be filled")
	}
	half := filepath.Join(v.Data(), "half")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := make(chan func() error)
	go func() { // another process, as far as locks go
		done, err := v.Fill()
		if err != nil {
			t.Error(err)
		}
		other <- done
	}()
	select {
	case <-other:
		t.Fatal("two fill at a time")
	default:
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	if done := <-other; done != nil {
		t.Error("a filled volume is to be filled again")
	}
	if err := os.WriteFile(filepath.Join(v.dir, fillingFile), nil, 0o600); err != nil { // as if killed
		t.Fatal(err)
	}
	if done = must[func() error](t)(v.Fill()); done == nil {
		t.Fatal("a half filled volume is taken for a whole one")
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("the half is still there")
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func TestSweep(t *testing.T) {
	s := open(t)
	must[*Volume](t)(s.Create("data", Options{}))
	for _, name := range []string{gonePrefix + "x", newPrefix + "1"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(); err != nil {
		t.Error(err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"))
	if len(left) != 1 || filepath.Base(left[0]) != newPrefix+"1" {
		t.Errorf("%q", left) // what may be being made stays
	}
}

func TestBroken(t *testing.T) {
	s := open(t)
	v := must[*Volume](t)(s.Create("data", Options{}))
	for _, text := range []string{"", "{}", `{"schema":"docksmith.volume/2","name":"data"}`, `{"schema":"docksmith.volume/1","name":"other"}`} {
		if err := os.WriteFile(filepath.Join(v.dir, recordFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get("data"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
