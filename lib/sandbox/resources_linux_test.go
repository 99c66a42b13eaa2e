package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestTranslate says for each resource what is written where, in both versions
// of cgroups, or what the refusal mentions.
func TestTranslate(t *testing.T) {
	for _, c := range []struct{ resources, v1, v2 string }{
		{`{}`, "", ""},
		{`{"memory":{"limit":1048576}}`, "memory.limit_in_bytes=1048576", "memory.max=1048576"},
		{`{"memory":{"limit":-1}}`, "memory.limit_in_bytes=-1", "memory.max=max"},
		{`{"memory":{"limit":100,"swap":300}}`, "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=300", "memory.max=100 memory.swap.max=200"},
		{`{"memory":{"limit":100,"swap":-1}}`, "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=-1", "memory.max=100 memory.swap.max=max"},
		{`{"memory":{"swap":300}}`, "memory.memsw.limit_in_bytes=300", "!needs memory.limit"},
		{`{"memory":{"limit":300,"swap":100}}`, "memory.limit_in_bytes=300 memory.memsw.limit_in_bytes=100", "!less than memory.limit"},
		{`{"memory":{"reservation":7}}`, "memory.soft_limit_in_bytes=7", "memory.low=7"},
		{`{"memory":{"swappiness":0}}`, "memory.swappiness=0", "!swappiness"},
		{`{"memory":{"disableOOMKiller":true}}`, "memory.oom_control=1", "!disableOOMKiller"},
		{`{"memory":{"disableOOMKiller":false}}`, "", ""},
		{`{"memory":{"kernel":9}}`, "memory.kmem.limit_in_bytes=9", "!memory.kernel"},
		{`{"memory":{"kernelTCP":9}}`, "memory.kmem.tcp.limit_in_bytes=9", "!memory.kernelTCP"},
		{`{"cpu":{"shares":1024}}`, "cpu.shares=1024", "cpu.weight=39"},
		{`{"cpu":{"shares":2}}`, "cpu.shares=2", "cpu.weight=1"},
		{`{"cpu":{"shares":262144}}`, "cpu.shares=262144", "cpu.weight=10000"},
		{`{"cpu":{"quota":5000,"period":10000}}`, "cpu.cfs_period_us=10000 cpu.cfs_quota_us=5000", "cpu.max=5000 10000"},
		{`{"cpu":{"quota":-1}}`, "cpu.cfs_quota_us=-1", "cpu.max=max 100000"},
		{`{"cpu":{"burst":4}}`, "cpu.cfs_burst_us=4", "cpu.max.burst=4"},
		{`{"cpu":{"idle":1}}`, "cpu.idle=1", "cpu.idle=1"},
		{`{"cpu":{"realtimeRuntime":4,"realtimePeriod":8}}`, "cpu.rt_period_us=8 cpu.rt_runtime_us=4", "!realtimeRuntime"},
		{`{"cpu":{"cpus":"0-1","mems":"0"}}`, "cpuset.cpus=0-1 cpuset.mems=0", "cpuset.cpus=0-1 cpuset.mems=0"},
		{`{"pids":{"limit":5}}`, "pids.max=5", "pids.max=5"},
		{`{"pids":{"limit":-1}}`, "pids.max=max", "pids.max=max"},
		{`{"blockIO":{"weight":10}}`, "blkio.weight|blkio.bfq.weight=10", "io.bfq.weight=10"},
		{`{"blockIO":{"leafWeight":10}}`, "blkio.leaf_weight=10", "!leafWeight"},
		{`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":5}]}}`, "blkio.throttle.read_bps_device=8:1 5", "io.max=8:1 rbps=5"},
		{`{"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":5}]}}`, "blkio.throttle.write_iops_device=8:1 5", "io.max=8:1 wiops=5"},
		{`{"hugepageLimits":[{"pageSize":"2MB","limit":4}]}`, "hugetlb.2MB.limit_in_bytes=4", "hugetlb.2MB.max=4"},
		{`{"network":{"classID":7,"priorities":[{"name":"lo","priority":3}]}}`, "net_cls.classid=7 net_prio.ifpriomap=lo 3", "!network"},
		{`{"rdma":{"mlx":{"hcaHandles":3,"hcaObjects":4}}}`, "rdma.max=mlx hca_handle=3 hca_object=4", "rdma.max=mlx hca_handle=3 hca_object=4"},
		{`{"unified":{"memory.high":"5","pids.max":"6"}}`, "!version 1", "memory.high=5 pids.max=6"},
		{`{"unified":{"../x":"5"}}`, "!version 1", "!name of a file"},
	} {
		var r specs.LinuxResources
		if err := json.Unmarshal([]byte(c.resources), &r); err != nil {
			t.Fatal(err)
		}
		for v2, want := range map[bool]string{false: c.v1, true: c.v2} {
			wants, err := translate(&r, v2)
			refusal, refused := strings.CutPrefix(want, "!")
			switch got := told(wants); {
			case refused && (err == nil || !strings.Contains(err.Error(), refusal)):
				t.Errorf("%s, version 2 %v: %q, %v, want an error with %q", c.resources, v2, got, err, refusal)
			case !refused && (err != nil || got != want):
				t.Errorf("%s, version 2 %v: %q, %v, want %q", c.resources, v2, got, err, want)
			}
		}
	}
}

func told(wants []want) string {
	var all []string
	for _, w := range wants {
		for _, s := range w.files {
			all = append(all, strings.Join(s.files, "|")+"="+s.value)
		}
	}
	return strings.Join(all, " ")
}

func TestDeviceRules(t *testing.T) {
	major, minor := int64(10), int64(229)
	for want, r := range map[string]specs.LinuxDeviceCgroup{
		"a *:* rwm":   {},
		"c 10:229 rw": {Type: "c", Major: &major, Minor: &minor, Access: "rw"},
		"b 10:* m":    {Type: "b", Major: &major, Access: "m"},
	} {
		if got := deviceRule(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestCgroupsPath has a container in a place of its bundle's choice, in every
// hierarchy, with limits that are read back.
func TestCgroupsPath(t *testing.T) {
	b := newBox(t)
	name := "ds-test-" + randomName()
	b.spec.Linux.CgroupsPath = "/" + name + "/inner"
	limit, shares, swap := int64(32<<20), uint64(512), int64(64<<20)
	b.spec.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap}, CPU: &specs.LinuxCPU{Shares: &shares, Cpus: "0"},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
	}
	t.Cleanup(func() {
		for _, h := range append(hierarchies(false), "") {
			_ = os.Remove(filepath.Join(cgroupBase, h, name))
		}
	})
	if g, err := (cgroupPlan{resources: b.spec.Linux.Resources, path: b.spec.Linux.CgroupsPath}).make(); err != nil {
		t.Skipf("no such cgroup here: %v", err)
	} else {
		g.remove()
	}
	if hasController("memory") {
		out := b.sh("cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.shares cpuset/cpuset.cpus devices/devices.list; : </dev/null && echo null opens")
		b.spec.Linux.Namespaces = b.spec.Linux.Namespaces[:5] // without that of cgroups
		out += b.sh("cat /proc/self/cgroup")
		for _, want := range []string{fmt.Sprint(limit), "\n512\n0\n", "c 1:3 rwm", "null opens", ":memory:/" + name + "/inner\n", ":name=systemd:/" + name + "/inner\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing:\n%s", want, out)
			}
		}
	}
	for _, h := range hierarchies(false) {
		if _, err := os.Stat(filepath.Join(cgroupBase, h, name, "inner")); err == nil {
			t.Errorf("the cgroup is left in %s", h)
		}
	}
}
