package build

import (
	"fmt"
	"strconv"
	"strings"
)

// exposedPorts reads one word of EXPOSE: PORT or FIRST-LAST with an optional
// /PROTOCOL, lower-cased. An address and a host port before it, which mean
// something to other commands only, are checked and dropped as docker does.
func exposedPorts(word string) ([]string, error) {
	spec, proto, stated := strings.Cut(word, "/")
	if !stated {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, fmt.Errorf("port %q: protocol %q: want tcp, udp or sctp", word, proto)
	}
	if i := strings.LastIndexByte(spec, ':'); i >= 0 {
		host := spec[strings.LastIndexByte(spec[:i], ':')+1 : i]
		if host != "" {
			if _, _, err := portRange(host); err != nil {
				return nil, fmt.Errorf("port %q: %w", word, err)
			}
		}
		spec = spec[i+1:]
	}
	first, last, err := portRange(spec)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", word, err)
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
