package oci

import (
	"slices"
	"testing"
)

func TestRuntimeSpecCommand(t *testing.T) {
	c := ImageConfig{Entrypoint: []string{"/e"}, Cmd: []string{"c"}}
	tests := []struct {
		o    RuntimeOptions
		want []string
	}{
		{RuntimeOptions{}, []string{"/e", "c"}},
		{RuntimeOptions{Args: []string{"x", "y"}}, []string{"/e", "x", "y"}},
		{RuntimeOptions{Entrypoint: []string{"/f"}}, []string{"/f"}},
		{RuntimeOptions{Entrypoint: []string{"/f"}, Args: []string{"x"}}, []string{"/f", "x"}},
		{RuntimeOptions{Entrypoint: []string{}, Args: []string{"x"}}, []string{"x"}},
	}
	for _, tt := range tests {
		if got := RuntimeSpec(Image{Config: c}, tt.o).Process.Args; !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
}

func TestRuntimeSpecUser(t *testing.T) {
	for user, want := range map[string]struct {
		uid, gid   uint32
		annotation string
	}{
		"":               {0, 0, ""},
		"1000:50":        {1000, 50, ""},
		"1000":           {1000, 0, "1000"}, // the group is in the image
		"app":            {0, 0, "app"},
		"app:50":         {0, 0, "app:50"},
		"1000:staff":     {1000, 0, "1000:staff"},
		"4294967296:0":   {0, 0, "4294967296:0"}, // whoever looks it up refuses it
		"4294967295:0":   {0, 0, "4294967295:0"},
		"-1:0":           {0, 0, "-1:0"},
		"0:42949672960":  {0, 0, "0:42949672960"},
		"1000:50 --root": {1000, 0, "1000:50 --root"},
	} {
		s := RuntimeSpec(Image{Config: ImageConfig{User: user}}, RuntimeOptions{})
		if s.Process.User.UID != want.uid || s.Process.User.GID != want.gid || s.Annotations[AnnotationUser] != want.annotation {
			t.Errorf("%q: %+v, annotation %q", user, s.Process.User, s.Annotations[AnnotationUser])
		}
	}
}

func TestRuntimeSpecEnvironment(t *testing.T) {
	s := RuntimeSpec(Image{Config: ImageConfig{Env: []string{"A=1", "PATH=/x"}}}, RuntimeOptions{Env: []string{"A=2", "B=3"}})
	if want := []string{"PATH=/x", "A=2", "B=3"}; !slices.Equal(s.Process.Env, want) {
		t.Errorf("%q", s.Process.Env)
	}
}

// What an image carries is data: labels do not become annotations, on which
// runtimes act.
func TestRuntimeSpecIgnoresLabels(t *testing.T) {
	img := Image{Config: ImageConfig{Labels: map[string]string{AnnotationOverlayLower: "/etc", "run.oci.handler": "x"}}}
	if s := RuntimeSpec(img, RuntimeOptions{}); len(s.Annotations) != 0 {
		t.Errorf("%q", s.Annotations)
	}
}

func TestRuntimeSpecNetwork(t *testing.T) {
	for host, want := range map[bool]bool{false: true, true: false} {
		found := false
		for _, n := range RuntimeSpec(Image{}, RuntimeOptions{HostNetwork: host}).Linux.Namespaces {
			found = found || n.Type == "network"
		}
		if found != want {
			t.Errorf("host network %v: a namespace of its own %v", host, found)
		}
	}
}
