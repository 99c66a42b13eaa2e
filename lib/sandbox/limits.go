package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Limits bounds a container's use of the machine. Zero means no limit but that of
// the bundle, a negative number none at all.
type Limits struct {
	// Memory is in bytes. MemorySwap is of memory and swap together, and Memory
	// when it is zero: what is swapped out is only slow.
	Memory     int64 `json:"memory,omitempty"`
	MemorySwap int64 `json:"memorySwap,omitempty"`
	// MemoryReservation is what the container keeps when memory runs short.
	MemoryReservation int64 `json:"memoryReservation,omitempty"`
	// CPUs is processors' worth of time: 1.5 is one and a half. CPUQuota says the
	// same in microseconds of each CPUPeriod, whose default is 100000.
	CPUs      float64 `json:"cpus,omitempty"`
	CPUPeriod uint64  `json:"cpuPeriod,omitempty"`
	CPUQuota  int64   `json:"cpuQuota,omitempty"`
	// CPUShares is the weight beside others where time is short; 1024 is the usual.
	CPUShares uint64 `json:"cpuShares,omitempty"`
	// CPUSet and MemSet list the processors and memory nodes to use: "0-2,5".
	CPUSet string `json:"cpuset,omitempty"`
	MemSet string `json:"memset,omitempty"`
	// Pids is processes and threads.
	Pids int64 `json:"pids,omitempty"`
	// ShmSize is that of /dev/shm, in bytes.
	ShmSize int64 `json:"shmSize,omitempty"`
	// Rlimits take the places of the bundle's of the same type.
	Rlimits []specs.POSIXRlimit `json:"rlimits,omitempty"`
	// BestEffort has Warn told of the limits that cannot be applied, where they
	// would be an error. Apply does not put it into a specification.
	BestEffort bool `json:"bestEffort,omitempty"`
}

// cpuPeriod is what the kernel has unless told.
const cpuPeriod = 100000

// Apply puts the limits into a specification.
func (l Limits) Apply(s *specs.Spec) error {
	if s.Linux == nil || s.Process == nil {
		return fmt.Errorf("apply limits: the specification has no process or no linux section")
	}
	s.Linux.Resources = l.resources(s.Linux.Resources)
	for _, r := range l.Rlimits {
		p := s.Process
		p.Rlimits = append(slices.DeleteFunc(slices.Clone(p.Rlimits), func(o specs.POSIXRlimit) bool { return o.Type == r.Type }), r)
	}
	if l.ShmSize > 0 {
		return setShmSize(s, l.ShmSize)
	}
	return nil
}

// resources lays those limits that a cgroup keeps over what the specification has.
func (l Limits) resources(r *specs.LinuxResources) *specs.LinuxResources {
	var out specs.LinuxResources
	if r != nil {
		out = *r
	}
	memory, cpu := l.memory(out.Memory), l.cpu(out.CPU)
	if memory == out.Memory && cpu == out.CPU && l.Pids == 0 {
		return r
	}
	out.Memory, out.CPU = memory, cpu
	if l.Pids != 0 {
		out.Pids = &specs.LinuxPids{Limit: &l.Pids}
	}
	return &out
}

func (l Limits) memory(old *specs.LinuxMemory) *specs.LinuxMemory {
	if l.Memory == 0 && l.MemorySwap == 0 && l.MemoryReservation == 0 {
		return old
	}
	var m specs.LinuxMemory
	if old != nil {
		m = *old
	}
	if l.Memory != 0 {
		m.Limit, m.Swap = &l.Memory, &l.Memory
	}
	if l.MemorySwap != 0 {
		m.Swap = &l.MemorySwap
	}
	if l.MemoryReservation != 0 {
		m.Reservation = &l.MemoryReservation
	}
	return &m
}

func (l Limits) cpu(old *specs.LinuxCPU) *specs.LinuxCPU {
	if l.CPUs == 0 && l.CPUPeriod == 0 && l.CPUQuota == 0 && l.CPUShares == 0 && l.CPUSet == "" && l.MemSet == "" {
		return old
	}
	var c specs.LinuxCPU
	if old != nil {
		c = *old
	}
	if l.CPUs > 0 {
		l.CPUPeriod, l.CPUQuota = cpuPeriod, max(1000, int64(l.CPUs*cpuPeriod))
	}
	if l.CPUPeriod != 0 {
		c.Period = &l.CPUPeriod
	}
	if l.CPUQuota != 0 {
		c.Quota = &l.CPUQuota
	}
	if l.CPUShares != 0 {
		c.Shares = &l.CPUShares
	}
	if l.CPUSet != "" {
		c.Cpus = l.CPUSet
	}
	if l.MemSet != "" {
		c.Mems = l.MemSet
	}
	return &c
}

// setShmSize gives the file system at /dev/shm a size, and makes it where the
// specification has none.
func setShmSize(s *specs.Spec, bytes int64) error {
	size := "size=" + strconv.FormatInt(bytes, 10)
	s.Mounts = slices.Clone(s.Mounts)
	for i := range s.Mounts {
		m := &s.Mounts[i]
		switch {
		case m.Destination != "/dev/shm":
		case m.Type != "tmpfs":
			return fmt.Errorf("size of /dev/shm: what is mounted there is no file system in memory")
		default:
			other := func(o string) bool { return strings.HasPrefix(o, "size=") }
			m.Options = append(slices.DeleteFunc(slices.Clone(m.Options), other), size)
			return nil
		}
	}
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", size},
	})
	return nil
}
