package build

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// exposedPorts reads one word of EXPOSE: PORT or FIRST-LAST with an optional
// /PROTOCOL, lower-cased. An address and a host port before it, which mean
// something to other commands only, are checked and dropped as docker does.
func exposedPorts(word string) ([]string, error) {
	parts := strings.Split(word, ":")
	spec, proto, _ := strings.Cut(parts[len(parts)-1], "/")
	switch proto = strings.ToLower(proto); proto {
	case "":
		proto = "tcp"
	case "tcp", "udp", "sctp":
	default:
		return nil, fmt.Errorf("port %q: protocol %q: want tcp, udp or sctp", word, proto)
	}
	first, last, err := portRange(spec)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", word, err)
	}
	if len(parts) > 1 && parts[len(parts)-2] != "" {
		from, to, err := portRange(parts[len(parts)-2])
		if err != nil {
			return nil, fmt.Errorf("port %q: %w", word, err)
		}
		if first != last && to-from != last-first {
			return nil, fmt.Errorf("port %q: the ranges have different lengths", word)
		}
	}
	if len(parts) > 2 {
		address := strings.Join(parts[:len(parts)-2], ":")
		if inner, ok := strings.CutPrefix(address, "["); ok {
			address = strings.TrimSuffix(inner, "]")
		}
		if _, err := netip.ParseAddr(address); address != "" && err != nil {
			return nil, fmt.Errorf("port %q: %q is not an address", word, address)
		}
	}
	ports := make([]string, 0, last-first+1)
	for p := first; p <= last; p++ {
		ports = append(ports, strconv.Itoa(p)+"/"+proto)
	}
	return ports, nil
}

func portRange(s string) (first, last int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	if first, err = portNumber(from); err != nil {
		return 0, 0, err
	}
	if last, err = portNumber(to); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("%d-%d is not a range", first, last)
	}
	return first, last, nil
}

func portNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port number", s)
	}
	return int(n), nil
}
