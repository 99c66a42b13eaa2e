package flock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTry(t *testing.T) {
	tests := []struct {
		held, asked How
		want        bool
	}{
		{Shared, Shared, true},
		{Shared, Exclusive, false},
		{Exclusive, Shared, false},
		{Exclusive, Exclusive, false},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "lock")
		holder, other := open(t, path), open(t, path)
		if err := Lock(holder, tt.held); err != nil {
			t.Fatal(err)
		}
		if got, err := Try(other, tt.asked); err != nil || got != tt.want {
			t.Errorf("%v beside %v: %v, %v", tt.asked, tt.held, got, err)
		}
		holder.Close()
		if got, err := Try(other, tt.asked); err != nil || !got {
			t.Errorf("%v after %v is closed: %v, %v", tt.asked, tt.held, got, err)
		}
	}
}

func TestOpenWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder, err := Open(t.Context(), path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, path, Shared); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is held: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { holder.Close() })
	f, err := Open(t.Context(), path, Shared)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestOpenMakesAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Open(t.Context(), path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Open(t.Context(), filepath.Join(path, "below"), Exclusive); err == nil {
		t.Error("no error for a path below a file")
	}
}

func TestNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f := open(t, path)
	if ours, err := Named(f); err != nil || !ours {
		t.Errorf("%v, %v", ours, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"removed", "another in its place"} {
		if ours, err := Named(f); err != nil || ours {
			t.Errorf("%s: %v, %v", name, ours, err)
		}
		open(t, path)
	}
	f.Close()
	if _, err := Named(f); err == nil {
		t.Error("a closed file has no error")
	}
}
