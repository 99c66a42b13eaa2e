package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// limits sets one limit of each kind on a cgroup made for it.
func (t *surveyor) limits() {
	for _, l := range []struct {
		name  string
		limit func() (*specs.LinuxResources, error)
	}{
		{"memory", laid(Limits{Memory: 64 << 20})}, {"cpu", laid(Limits{CPUs: 0.5})}, {"pids", laid(Limits{Pids: 64})},
		{"cpuset", oneProcessor}, {"io", oneDisk},
	} {
		note, err := t.limit(l.limit)
		if refused := (*os.PathError)(nil); errors.As(err, &refused) {
			err = refused // without the advice, which follows
		}
		t.add("limits", l.name, err, "run as root, or have the service manager delegate the controller to the user", note)
	}
}

func (t *surveyor) limit(ask func() (*specs.LinuxResources, error)) (note string, err error) {
	r, err := ask()
	if err != nil {
		return "", err
	}
	g, err := cgroupPlan{resources: r, name: filepath.Base(t.dir)}.make()
	if err != nil {
		return "", err
	}
	defer g.remove()
	if g.v2 {
		return "cgroup v2", nil
	}
	return "cgroup v1", nil
}

func laid(l Limits) func() (*specs.LinuxResources, error) {
	return func() (*specs.LinuxResources, error) { return l.resources(nil), nil }
}

// oneProcessor is the first that the caller may run on.
func oneProcessor() (*specs.LinuxResources, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	n := 0
	for !set.IsSet(n) {
		n++
	}
	return &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: fmt.Sprint(n)}}, nil
}

// oneDisk is a rate for the first disk of the machine, one that no disk has.
func oneDisk() (*specs.LinuxResources, error) {
	disks, err := filepath.Glob("/sys/block/*/dev")
	if err != nil || len(disks) == 0 {
		return nil, errors.New("there is no disk in /sys/block to try it on")
	}
	text, err := os.ReadFile(disks[0])
	if err != nil {
		return nil, err
	}
	var d specs.LinuxThrottleDevice
	if _, err := fmt.Sscanf(strings.TrimSpace(string(text)), "%d:%d", &d.Major, &d.Minor); err != nil {
		return nil, fmt.Errorf("%s: %w", disks[0], err)
	}
	d.Rate = 1 << 40
	return &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{d}}}, nil
}
