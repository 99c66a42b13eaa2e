package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// raisable finds the resource limits that the caller may not set: nobody goes
// above a hard limit without the capability over the whole machine, and nobody at
// all above what the kernel has for descriptors. They are an error, or where the
// best will do, lowered and told.
func (c *container) raisable(list []specs.POSIXRlimit) ([]specs.POSIXRlimit, error) {
	if len(list) == 0 {
		return list, nil
	}
	mayRaise := false
	if !InUserNamespace() {
		caps, err := Capabilities()
		mayRaise = err == nil && slices.Contains(caps, "CAP_SYS_RESOURCE")
	}
	out := slices.Clone(list)
	for i := range out {
		l := &out[i]
		kind, known := rlimitNames[l.Type]
		var now unix.Rlimit
		if !known || unix.Getrlimit(int(kind), &now) != nil {
			continue // told elsewhere
		}
		why := "only CAP_SYS_RESOURCE, outside of user namespaces, raises it"
		most := now.Max
		if mayRaise {
			if most = unix.RLIM_INFINITY; kind != unix.RLIMIT_NOFILE {
				continue
			}
		}
		if kind == unix.RLIMIT_NOFILE {
			if n := readNumber("/proc/sys/fs/nr_open"); n > 0 && uint64(n) < most {
				most, why = uint64(n), "the sysctl fs.nr_open raises it"
			}
		}
		if l.Hard <= most {
			continue
		}
		err := fmt.Errorf("ulimit %s: hard limit %s: the highest here is %s: %s",
			strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_")), rlimitText(l.Hard), rlimitText(most), why)
		if !c.opts.Limits.BestEffort {
			return nil, err
		}
		if c.opts.Warn != nil {
			c.opts.Warn(err.Error())
		}
		l.Soft, l.Hard = min(l.Soft, most), most
	}
	return out, nil
}

func rlimitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
