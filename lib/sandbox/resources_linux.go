package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// want is what one controller is to be told, file by file.
type want struct {
	controller string
	files      []setting
}

// setting is a value for the first of some files that is there.
type setting struct {
	files []string
	value string
	maybe bool // without any of the files there is nothing to limit
}

// translation collects what is wanted of the controllers of one cgroup version.
type translation struct {
	v2    bool
	wants []want
	errs  []error
}

// translate says in files what the resources ask for. What a version of cgroups
// has no file for is an error.
func translate(r *specs.LinuxResources, v2 bool) ([]want, error) {
	if r == nil {
		return nil, nil
	}
	t := &translation{v2: v2}
	if r.Memory != nil {
		t.memory(r.Memory)
	}
	if r.CPU != nil {
		t.cpu(r.CPU)
	}
	if r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit != 0 {
		t.set("pids", unlimited(*r.Pids.Limit), "pids.max")
	}
	if r.BlockIO != nil {
		t.blockIO(r.BlockIO)
	}
	for _, h := range r.HugepageLimits {
		t.set("hugetlb", strconv.FormatUint(h.Limit, 10), "hugetlb."+h.Pagesize+t.pick(".limit_in_bytes", ".max"))
	}
	t.network(r.Network)
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		t.rdma(device, r.Rdma[device])
	}
	t.devices(r.Devices)
	t.unified(r.Unified)
	return t.wants, errors.Join(t.errs...)
}

func (t *translation) pick(v1, v2 string) string {
	if t.v2 {
		return v2
	}
	return v1
}

// set wants value in the first of the files that is there. A name with "?" in
// the end is one whose lack is of no importance.
func (t *translation) set(controller, value string, files ...string) {
	s := setting{files: files, value: value}
	if last := len(files) - 1; strings.HasSuffix(files[last], "?") {
		files[last], s.maybe = strings.TrimSuffix(files[last], "?"), true
	}
	for i := range t.wants {
		if t.wants[i].controller == controller {
			t.wants[i].files = append(t.wants[i].files, s)
			return
		}
	}
	t.wants = append(t.wants, want{controller, []setting{s}})
}

func (t *translation) refuse(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf("linux.resources."+format, args...))
}

// unlimited is a number, or "max" for none.
func unlimited(n int64) string {
	if n < 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func (t *translation) memory(m *specs.LinuxMemory) {
	bytes := func(n *int64) string {
		if t.v2 {
			return unlimited(*n)
		}
		return strconv.FormatInt(*n, 10) // -1 is no limit
	}
	if m.Limit != nil && *m.Limit != 0 {
		t.set("memory", bytes(m.Limit), t.pick("memory.limit_in_bytes", "memory.max"))
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		t.set("memory", bytes(m.Reservation), t.pick("memory.soft_limit_in_bytes", "memory.low"))
	}
	if m.Swap != nil && *m.Swap != 0 {
		t.swap(m, bytes(m.Swap))
	}
	if m.Swappiness != nil {
		if t.v2 {
			t.refuse("memory.swappiness: cgroups of version 2 have none")
		} else {
			t.set("memory", strconv.FormatUint(*m.Swappiness, 10), "memory.swappiness")
		}
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		if t.v2 {
			t.refuse("memory.disableOOMKiller: cgroups of version 2 cannot")
		} else {
			t.set("memory", "1", "memory.oom_control")
		}
	}
	t.kernelMemory(m)
}

// swap is of both memory and swap in version 1, as in the specification, and of
// swap alone in version 2.
func (t *translation) swap(m *specs.LinuxMemory, value string) {
	const v1, v2 = "memory.memsw.limit_in_bytes?", "memory.swap.max?"
	switch {
	case !t.v2 || *m.Swap < 0:
		t.set("memory", value, t.pick(v1, v2))
	case m.Limit == nil || *m.Limit <= 0:
		t.refuse("memory.swap: it needs memory.limit")
	case *m.Swap < *m.Limit:
		t.refuse("memory.swap: it is less than memory.limit")
	default:
		t.set("memory", strconv.FormatInt(*m.Swap-*m.Limit, 10), v2)
	}
}

func (t *translation) kernelMemory(m *specs.LinuxMemory) {
	//lint:ignore SA1019 bundles still have it, and a limit that has no effect is refused
	kernel := m.Kernel
	for _, k := range []struct {
		name, file string
		limit      *int64
	}{{"kernel", "memory.kmem.limit_in_bytes", kernel}, {"kernelTCP", "memory.kmem.tcp.limit_in_bytes", m.KernelTCP}} {
		switch {
		case k.limit == nil || *k.limit <= 0:
		case t.v2:
			t.refuse("memory.%s: cgroups of version 2 have no such limit", k.name)
		default:
			t.set("memory", strconv.FormatInt(*k.limit, 10), k.file)
		}
	}
}

func (t *translation) cpu(c *specs.LinuxCPU) {
	if c.Shares != nil && *c.Shares != 0 {
		shares := *c.Shares
		if t.v2 { // 2..262144 to 1..10000, as all runtimes do
			shares = 1 + (min(max(shares, 2), 262144)-2)*9999/262142
		}
		t.set("cpu", strconv.FormatUint(shares, 10), t.pick("cpu.shares", "cpu.weight"))
	}
	t.quota(c)
	if c.Burst != nil {
		t.set("cpu", strconv.FormatUint(*c.Burst, 10), t.pick("cpu.cfs_burst_us", "cpu.max.burst"))
	}
	if c.Idle != nil {
		t.set("cpu", strconv.FormatInt(*c.Idle, 10), "cpu.idle")
	}
	if t.v2 && (c.RealtimeRuntime != nil || c.RealtimePeriod != nil) {
		t.refuse("cpu.realtimeRuntime and realtimePeriod: cgroups of version 2 have none")
	} else {
		if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
			t.set("cpu", strconv.FormatUint(*c.RealtimePeriod, 10), "cpu.rt_period_us")
		}
		if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
			t.set("cpu", strconv.FormatInt(*c.RealtimeRuntime, 10), "cpu.rt_runtime_us")
		}
	}
	if c.Cpus != "" {
		t.set("cpuset", c.Cpus, "cpuset.cpus")
	}
	if c.Mems != "" {
		t.set("cpuset", c.Mems, "cpuset.mems")
	}
}

func (t *translation) quota(c *specs.LinuxCPU) {
	hasQuota, hasPeriod := c.Quota != nil && *c.Quota != 0, c.Period != nil && *c.Period != 0
	switch {
	case !hasQuota && !hasPeriod:
	case t.v2:
		quota, period := "max", uint64(cpuPeriod)
		if hasQuota {
			quota = unlimited(*c.Quota)
		}
		if hasPeriod {
			period = *c.Period
		}
		t.set("cpu", quota+" "+strconv.FormatUint(period, 10), "cpu.max")
	default:
		if hasPeriod {
			t.set("cpu", strconv.FormatUint(*c.Period, 10), "cpu.cfs_period_us")
		}
		if hasQuota {
			t.set("cpu", strconv.FormatInt(*c.Quota, 10), "cpu.cfs_quota_us")
		}
	}
}
