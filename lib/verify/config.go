package verify

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/oci"
)

// configProblems says what of a config that could be read is not as the image
// specification wants it. How many layers there are was compared before with the diff IDs.
func configProblems(c oci.Image) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if c.RootFS.Type != "layers" {
		add("rootfs.type is %q, not \"layers\"", c.RootFS.Type)
	}
	if c.OS == "" || c.Architecture == "" {
		add("os is %q, architecture is %q", c.OS, c.Architecture)
	}
	if layers := len(c.LayerHistory()); len(c.History) > 0 && layers != len(c.RootFS.DiffIDs) {
		add("the history has %d layers, the image %d", layers, len(c.RootFS.DiffIDs))
	}
	for _, v := range c.Config.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			add("Env has %q, not NAME=VALUE", v)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.Config.ExposedPorts)) {
		if !isPort(p) {
			add("ExposedPorts has %q, not PORT/PROTOCOL", p)
		}
	}
	if h := c.Config.Healthcheck; h != nil && (h.Interval < 0 || h.Timeout < 0 || h.StartPeriod < 0 || h.Retries < 0) {
		add("Healthcheck has a negative number")
	}
	return list
}

// isPort takes "80", "80/tcp" and "8000-8010/udp".
func isPort(s string) bool {
	ports, protocol, _ := strings.Cut(s, "/")
	if !slices.Contains([]string{"", "tcp", "udp", "sctp"}, strings.ToLower(protocol)) {
		return false
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	return err == nil && err2 == nil && a <= b
}
