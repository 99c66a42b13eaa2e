package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSurveyLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, in a user namespace or not")
	}
	dir := t.TempDir()
	s, err := TakeSurvey(SurveyOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{dir + "/*", cgroupBase + "/*/docksmith/docksmith-survey-*", cgroupBase + "/docksmith/docksmith-survey-*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left behind: %s", left)
		}
	}
	names := map[string]bool{}
	for _, r := range s.Trials {
		if names[r.Area+" "+r.Name] {
			t.Errorf("%s %s was tried twice", r.Area, r.Name)
		}
		names[r.Area+" "+r.Name] = true
		if r.OK == (r.Error != "") || !r.OK && r.Remedy == "" {
			t.Errorf("a verdict without its words, or with others: %+v", r)
		}
	}
}

func TestSurveyLevel(t *testing.T) {
	all := []string{"mount", "pid", "ipc", "uts", "network", "cgroup", "pivot_root", "seccomp", "chroot"}
	level := func(lacking string) Isolation {
		s := &surveyor{}
		for i, name := range all {
			area := "namespaces"
			if i > 5 {
				area = "processes"
			}
			var err error
			if slices.Contains(strings.Fields(lacking), name) {
				err = unix.EPERM
			}
			s.add(area, name, err, "none", "")
		}
		return s.level()
	}
	strongest := IsolationFull
	if InUserNamespace() {
		strongest = IsolationUser
	}
	for lacking, want := range map[string]Isolation{
		"": strongest, "pid": IsolationChroot, "network": IsolationChroot, "cgroup": IsolationChroot,
		"mount": IsolationChroot, "mount chroot": IsolationNone, "mount seccomp": IsolationNone, "pivot_root": IsolationNone, "seccomp": IsolationNone,
	} {
		if got := level(lacking); got != want {
			t.Errorf("without %q: %s, want %s", lacking, got, want)
		}
	}
}
