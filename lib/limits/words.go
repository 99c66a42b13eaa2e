package limits

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"docksmith/lib/cli"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ParseSize reads a number of bytes: 1048576, 512m, 1.5g, 64KiB. A suffix counts
// in steps of 1024, in upper or lower case.
func ParseSize(text string) (int64, error) {
	digits := strings.TrimRight(strings.ToLower(text), "bkmgtpi")
	shifts := map[string]uint{"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
	suffix := strings.ToLower(text[len(digits):])
	if len(suffix) > 1 {
		suffix = strings.TrimSuffix(strings.TrimSuffix(suffix, "b"), "i")
	}
	shift, ok := shifts[suffix]
	bad := fmt.Errorf("size %q is not a number of bytes with an optional suffix k, m, g or t", text)
	if !ok || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, bad
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && n > 0 && n <= math.MaxInt64>>shift {
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if f *= float64(int64(1) << shift); err != nil || !strings.Contains(digits, ".") || f < 1 || f >= math.MaxInt64 {
		return 0, bad
	}
	return int64(f), nil
}

// ulimits are docker's names of the resource limits.
var ulimits = map[string]string{
	"as": "RLIMIT_AS", "core": "RLIMIT_CORE", "cpu": "RLIMIT_CPU", "data": "RLIMIT_DATA", "fsize": "RLIMIT_FSIZE",
	"locks": "RLIMIT_LOCKS", "memlock": "RLIMIT_MEMLOCK", "msgqueue": "RLIMIT_MSGQUEUE", "nice": "RLIMIT_NICE",
	"nofile": "RLIMIT_NOFILE", "nproc": "RLIMIT_NPROC", "rss": "RLIMIT_RSS", "rtprio": "RLIMIT_RTPRIO",
	"rttime": "RLIMIT_RTTIME", "sigpending": "RLIMIT_SIGPENDING", "stack": "RLIMIT_STACK",
}

// parseUlimits reads words NAME=SOFT[:HARD]. The last one of a name counts.
func parseUlimits(words []string) (list []specs.POSIXRlimit, err error) {
	at := map[string]int{}
	for _, word := range words {
		name, values, _ := strings.Cut(word, "=")
		soft, hard, both := strings.Cut(values, ":")
		if !both {
			hard = soft
		}
		l := specs.POSIXRlimit{Type: ulimits[name]}
		if l.Type == "" {
			return nil, cli.Usagef("--ulimit %s: there is no limit %q", word, name)
		}
		if l.Soft, err = ulimit(soft); err == nil {
			l.Hard, err = ulimit(hard)
		}
		if err != nil {
			return nil, cli.Usagef("--ulimit %s: want NAME=SOFT[:HARD], numbers or -1 for no limit", word)
		}
		if l.Soft > l.Hard {
			return nil, cli.Usagef("--ulimit %s: the soft limit is above the hard one", word)
		}
		if i, again := at[name]; again {
			list[i] = l
			continue
		}
		at[name] = len(list)
		list = append(list, l)
	}
	return list, nil
}

func ulimit(text string) (uint64, error) {
	if text == "-1" || text == "unlimited" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(text, 10, 64)
}
