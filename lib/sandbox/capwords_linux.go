package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// capabilities works AddCaps and DropCaps into the bundle's sets: first what is
// dropped, then what is added, so that "all" may be dropped and one added. The
// inheritable and ambient sets only ever lose. The filter of system calls
// follows, for it is made for what the bounding set has.
func (o Options) capabilities(orig *specs.LinuxCapabilities) (*specs.LinuxCapabilities, error) {
	if len(o.AddCaps)+len(o.DropCaps) == 0 {
		return orig, nil
	}
	if o.Isolation == IsolationNone {
		return nil, fmt.Errorf("isolation none: it keeps the caller's capabilities, and none can be added or dropped")
	}
	if orig == nil {
		orig = &specs.LinuxCapabilities{}
	}
	drop, err := readCapWords(o.DropCaps, func() ([]string, error) {
		return slices.Concat(orig.Bounding, orig.Permitted, orig.Inheritable, orig.Ambient), nil
	})
	if err != nil {
		return nil, fmt.Errorf("drop: %w", err)
	}
	add, err := readCapWords(o.AddCaps, Capabilities)
	if err != nil {
		return nil, fmt.Errorf("add: %w", err)
	}
	if len(add) > 0 {
		if err := mayHandOn(add); err != nil {
			return nil, err
		}
	}
	without := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(c string) bool { return slices.Contains(drop, c) })
	}
	with := func(list []string) []string {
		list = without(list)
		for _, c := range add {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
		return list
	}
	return &specs.LinuxCapabilities{
		Bounding: with(orig.Bounding), Permitted: with(orig.Permitted), Effective: with(orig.Effective),
		Inheritable: without(orig.Inheritable), Ambient: without(orig.Ambient),
	}, nil
}

// readCapWords reads names as people write them: "net_raw", "CAP_NET_RAW", "ALL".
func readCapWords(words []string, all func() ([]string, error)) (names []string, err error) {
	for _, w := range words {
		name := strings.ToUpper(w)
		if name == "ALL" {
			if names, err = all(); err != nil {
				return nil, err
			}
			continue
		}
		name = "CAP_" + strings.TrimPrefix(name, "CAP_")
		if _, err := parseCaps([]string{name}); err != nil {
			return nil, fmt.Errorf("unknown capability %q", w)
		}
		names = append(names, name)
	}
	return names, nil
}

// mayHandOn makes sure that the caller has what is to be added: the kernel would
// give the rest, and the container less than it was promised.
func mayHandOn(add []string) error {
	own, err := Capabilities()
	if err != nil {
		return err
	}
	for _, c := range add {
		if !slices.Contains(own, c) {
			return fmt.Errorf("add %s: the caller has it not", c)
		}
	}
	return nil
}
