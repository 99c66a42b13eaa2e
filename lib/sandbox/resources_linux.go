package sandbox

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// with adds the limits of the specification to those that are not set, and
// refuses limits that would not be applied.
func (l Limits) with(r *specs.LinuxResources) (Limits, error) {
	if r == nil {
		return l, nil
	}
	if m := r.Memory; m != nil && m.Limit != nil && *m.Limit > 0 && l.Memory == 0 {
		l.Memory = *m.Limit
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit > 0 && l.Pids == 0 {
		l.Pids = *p.Limit
	}
	if c := r.CPU; c != nil {
		if c.Cpus != "" || c.Mems != "" {
			return l, errors.New("linux.resources.cpu.cpus and mems are not applied yet")
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
