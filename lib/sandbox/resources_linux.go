// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// with adds the limits of the specification to those that are not set, and
// refuses limits that would not be applied. Device rules are not looked at: a
// container has no device but those of its /dev, and can open none that it makes.
func (l Limits) with(r *specs.LinuxResources) (Limits, error) {
	if r == nil {
		return l, nil
	}
	for name, asked := range map[string]bool{
		"blockIO": r.BlockIO != nil, "hugepageLimits": len(r.HugepageLimits) > 0, "network": r.Network != nil,
		"rdma": len(r.Rdma) > 0, "unified": len(r.Unified) > 0,
	} {
		if asked {
			return l, fmt.Errorf("config.json: linux.resources.%s is not applied yet", name)
		}
	}
	if m := r.Memory; m != nil && m.Limit != nil && *m.Limit > 0 && l.Memory == 0 {
		l.Memory = *m.Limit
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit > 0 && l.Pids == 0 {
		l.Pids = *p.Limit
	}
	if c := r.CPU; c != nil {
		if c.Cpus != "" || c.Mems != "" {
			return l, fmt.Errorf("config.json: linux.resources.cpu.cpus is not applied yet")
		}
		if c.Quota != nil && *c.Quota > 0 && l.CPUs == 0 {
			period := uint64(100000)
			if c.Period != nil && *c.Period > 0 {
				period = *c.Period
			}
			l.CPUs = float64(*c.Quota) / float64(period)
		}
	}
	return l, nil
}
