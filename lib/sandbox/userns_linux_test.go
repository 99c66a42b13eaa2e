package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSubIDs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	text := "other:1:2\n4242:100000:65536\n4242:300000:10\nbroken\n4242:x:1\n4242:5:0\n42420:1:1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := subIDs(file, 4242), []idRange{{100000, 65536}, {300000, 10}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := subIDs(file+".none", 4242); got != nil {
		t.Errorf("%v from no file", got)
	}
}

func TestMapped(t *testing.T) {
	ranges := []specs.LinuxIDMapping{{Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}
	for id, want := range map[uint32]bool{0: true, 1: true, 65536: true, 65537: false, 1<<32 - 1: false} {
		if mapped(ranges, id) != want {
			t.Errorf("id %d: %v", id, !want)
		}
	}
}

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"A=1", "B=2"}, []string{"B=3", "C=4", "C=5"})
	if want := []string{"A=1", "B=3", "C=5"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
