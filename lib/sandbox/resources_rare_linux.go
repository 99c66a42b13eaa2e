package sandbox

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// blockIO translates weights and throttles. Which files there are for weights
// depends on the scheduler that the kernel was built with.
func (t *translation) blockIO(b *specs.LinuxBlockIO) {
	controller := t.pick("blkio", "io")
	if b.Weight != nil && *b.Weight != 0 {
		weight := uint64(*b.Weight)
		if t.v2 {
			t.set(controller, strconv.FormatUint(weight, 10), "io.bfq.weight")
		} else {
			t.set(controller, strconv.FormatUint(weight, 10), "blkio.weight", "blkio.bfq.weight")
		}
	}
	if b.LeafWeight != nil && *b.LeafWeight != 0 {
		if t.v2 {
			t.refuse("blockIO.leafWeight: cgroups of version 2 have none")
		} else {
			t.set(controller, strconv.FormatUint(uint64(*b.LeafWeight), 10), "blkio.leaf_weight")
		}
	}
	for _, d := range b.WeightDevice {
		if d.Weight != nil {
			value := fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.Weight)
			t.set(controller, value, t.pick("blkio.weight_device", "io.bfq.weight"), t.pick("blkio.bfq.weight_device", "io.bfq.weight"))
		}
		if d.LeafWeight != nil {
			t.set(controller, fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.LeafWeight), "blkio.leaf_weight_device")
		}
	}
	for _, throttle := range []struct {
		v1, v2 string
		list   []specs.LinuxThrottleDevice
	}{
		{"blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice}, {"blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice}, {"blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range throttle.list {
			if t.v2 {
				t.set(controller, fmt.Sprintf("%d:%d %s=%d", d.Major, d.Minor, throttle.v2, d.Rate), "io.max")
			} else {
				t.set(controller, fmt.Sprintf("%d:%d %d", d.Major, d.Minor, d.Rate), throttle.v1)
			}
		}
	}
}

func (t *translation) network(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	if t.v2 && (n.ClassID != nil || len(n.Priorities) > 0) {
		t.refuse("network: cgroups of version 2 have none")
		return
	}
	if n.ClassID != nil {
		t.set("net_cls", strconv.FormatUint(uint64(*n.ClassID), 10), "net_cls.classid")
	}
	for _, p := range n.Priorities {
		t.set("net_prio", fmt.Sprintf("%s %d", p.Name, p.Priority), "net_prio.ifpriomap")
	}
}

func (t *translation) rdma(device string, r specs.LinuxRdma) {
	value := device
	if r.HcaHandles != nil {
		value += fmt.Sprintf(" hca_handle=%d", *r.HcaHandles)
	}
	if r.HcaObjects != nil {
		value += fmt.Sprintf(" hca_object=%d", *r.HcaObjects)
	}
	t.set("rdma", value, "rdma.max")
}

// devices translates the rules of devices for version 1, where there is a
// controller. Version 2 has none: rules are BPF programs there. What defends a
// container without them is that no file system of it opens a node but those
// that are bound from the machine, in either version.
func (t *translation) devices(rules []specs.LinuxDeviceCgroup) {
	if t.v2 || len(rules) == 0 || !hasController("devices") {
		return
	}
	for _, r := range rules {
		t.set("devices", deviceRule(r), deviceFile(r.Allow))
	}
	for _, d := range usualDevices { // which a container has in any case
		t.set("devices", fmt.Sprintf("c %d:%d rwm", d.major, d.minor), deviceFile(true))
	}
	for _, value := range []string{"c 5:2 rwm", "c 136:* rwm", "c *:* m", "b *:* m"} { // terminals; nodes may be made, as by runc
		t.set("devices", value, deviceFile(true))
	}
}

func deviceFile(allow bool) string {
	if allow {
		return "devices.allow"
	}
	return "devices.deny"
}

func deviceRule(r specs.LinuxDeviceCgroup) string {
	number := func(n *int64) string {
		if n == nil || *n < 0 {
			return "*"
		}
		return strconv.FormatInt(*n, 10)
	}
	kind, access := r.Type, r.Access
	if kind == "" {
		kind = "a"
	}
	if access == "" {
		access = "rwm"
	}
	return fmt.Sprintf("%s %s:%s %s", kind, number(r.Major), number(r.Minor), access)
}

// unified are files of version 2 by their names.
func (t *translation) unified(files map[string]string) {
	if len(files) > 0 && !t.v2 {
		t.refuse("unified: this machine has cgroups of version 1")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		controller, _, ok := strings.Cut(name, ".")
		if !ok || path.Base(name) != name {
			t.refuse("unified: %q is not the name of a file of a cgroup", name)
			continue
		}
		if controller == "cgroup" {
			controller = ""
		}
		for line := range strings.Lines(files[name]) {
			t.set(controller, strings.TrimSuffix(line, "\n"), name)
		}
	}
}
