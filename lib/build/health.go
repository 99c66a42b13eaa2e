package build

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// leastInterval is what engines refuse to go below: a health check is a
// process, not a busy loop.
const leastInterval = time.Millisecond

// healthcheck is the config member that a HEALTHCHECK step stands for.
func healthcheck(s *plan.Step) (*oci.Healthcheck, error) {
	if len(s.Args) == 0 || s.Args[0] == "NONE" {
		return &oci.Healthcheck{Test: []string{"NONE"}}, nil
	}
	h := &oci.Healthcheck{Test: slices.Clone(s.Args)}
	if s.Form == dockerfile.FormShell {
		h.Test[0] = "CMD-SHELL"
	}
	for _, f := range s.Flags() {
		if f.Name == "retries" {
			n, err := strconv.Atoi(f.Value)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("--retries=%s: want a number that is not negative", f.Value)
			}
			h.Retries = n
			continue
		}
		d, err := interval(f.Value)
		if err != nil {
			return nil, fmt.Errorf("--%s=%s: %w", f.Name, f.Value, err)
		}
		switch f.Name {
		case "interval":
			h.Interval = d
		case "timeout":
			h.Timeout = d
		case "start-period":
			h.StartPeriod = d
		case "start-interval":
			h.StartInterval = d
		default:
			return nil, fmt.Errorf("unknown flag --%s", f.Name)
		}
	}
	return h, nil
}

// healthText is the history entry.
func healthText(h *oci.Healthcheck) string {
	return fmt.Sprintf("HEALTHCHECK {Test:%v Interval:%v Timeout:%v StartPeriod:%v StartInterval:%v Retries:%d}",
		h.Test, h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries)
}

// interval reads a duration; zero asks for the engine's default.
func interval(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("want a duration such as 30s or 1m30s")
	case d < 0:
		return 0, fmt.Errorf("must not be negative")
	case d > 0 && d < leastInterval:
		return 0, fmt.Errorf("must be at least %v", leastInterval)
	}
	return d, nil
}
