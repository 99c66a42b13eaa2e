// Package limits reads the limits of a container from flags with the names and
// the syntax that docker has for them. What they do is the sandbox's; what they
// are is no part of an image.
//
//	var f limits.Flags
//	f.Declare(flags)
//	l, err := f.Limits()
//	err = l.Apply(spec)
package limits

import (
	"math"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// Flags are the flags as they were given.
type Flags struct {
	memory, swap, reservation, shm string
	cpus                           float64
	period, quota, shares, pids    int64
	cpuset, memset                 string
	ulimits                        []string
	bestEffort                     bool

	set *cli.Flags
}

// Declare adds the flags to those of a command.
func (l *Flags) Declare(f *cli.Flags) {
	l.set = f
	f.StringVarP(&l.memory, "memory", "m", "", "limit memory to `SIZE`: bytes, or with a suffix k, m, g, t")
	f.StringVar(&l.swap, "memory-swap", "", "limit memory and swap together to `SIZE`, -1 for no limit; default: that of --memory")
	f.StringVar(&l.reservation, "memory-reservation", "", "keep `SIZE` of memory when the machine runs short")
	f.Float64Var(&l.cpus, "cpus", 0, "limit processor time to `N` processors' worth, such as 1.5")
	f.Int64Var(&l.period, "cpu-period", 0, "count processor time in periods of `N` microseconds")
	f.Int64Var(&l.quota, "cpu-quota", 0, "limit processor time to `N` microseconds in each period")
	f.Int64Var(&l.shares, "cpu-shares", 0, "weigh `N` beside others where processors are short; 1024 is the usual")
	f.StringVar(&l.cpuset, "cpuset-cpus", "", "use the processors in `LIST` alone, such as 0-2,5")
	f.StringVar(&l.memset, "cpuset-mems", "", "use the memory nodes in `LIST` alone")
	f.Int64Var(&l.pids, "pids-limit", 0, "limit processes and threads to `N`, -1 for no limit")
	f.StringArrayVar(&l.ulimits, "ulimit", nil, "set a resource limit, `NAME=SOFT[:HARD]`, such as nofile=1024:4096; may be repeated")
	f.StringVar(&l.shm, "shm-size", "", "give /dev/shm `SIZE`; default 64m")
	f.BoolVar(&l.bestEffort, "best-effort", false, "warn of limits that cannot be applied, and run without them")
}

// Limits gives the flags their meaning.
func (l *Flags) Limits() (v sandbox.Limits, err error) {
	v = sandbox.Limits{CPUs: l.cpus, CPUQuota: l.quota, CPUSet: l.cpuset, MemSet: l.memset, Pids: l.pids, BestEffort: l.bestEffort}
	for _, size := range []struct {
		flag, text string
		to         *int64
	}{
		{"memory", l.memory, &v.Memory}, {"memory-swap", l.swap, &v.MemorySwap},
		{"memory-reservation", l.reservation, &v.MemoryReservation}, {"shm-size", l.shm, &v.ShmSize},
	} {
		switch {
		case size.text == "":
		case size.text == "-1" && size.flag == "memory-swap":
			*size.to = -1
		default:
			if *size.to, err = ParseSize(size.text); err != nil {
				return v, cli.Usagef("--%s: %v", size.flag, err)
			}
		}
	}
	if err := l.check(v); err != nil {
		return v, err
	}
	v.CPUPeriod, v.CPUShares = uint64(l.period), uint64(l.shares)
	v.Rlimits, err = parseUlimits(l.ulimits)
	return v, err
}

// check refuses what no limit can be.
func (l *Flags) check(v sandbox.Limits) error {
	switch {
	case v.MemorySwap != 0 && v.Memory == 0:
		return cli.Usagef("--memory-swap needs --memory")
	case v.MemorySwap > 0 && v.MemorySwap < v.Memory:
		return cli.Usagef("--memory-swap is of memory and swap together: it is less than --memory")
	case v.Memory > 0 && v.MemoryReservation > v.Memory:
		return cli.Usagef("--memory-reservation is more than --memory")
	case !(v.CPUs > 0 && v.CPUs < 1e6) && l.set.Changed("cpus"): // and not NaN
		return cli.Usagef("--cpus: a number of processors is needed, such as 1.5")
	case v.CPUs > 0 && (l.period != 0 || l.quota != 0):
		return cli.Usagef("--cpus is --cpu-quota of a --cpu-period: not both are possible")
	case l.period < 0 || l.shares < 0 || l.shares == 1 || l.shares > math.MaxInt32:
		return cli.Usagef("--cpu-period and --cpu-shares are positive numbers, and shares at least 2")
	case l.quota < -1 || l.pids < -1:
		return cli.Usagef("--cpu-quota and --pids-limit are positive numbers, or -1 for no limit")
	}
	for flag, list := range map[string]string{"cpuset-cpus": v.CPUSet, "cpuset-mems": v.MemSet} {
		if list == "" {
			continue
		}
		if _, err := sandbox.ParseCPUList(list); err != nil {
			return cli.Usagef("--%s: %v", flag, err)
		}
	}
	return nil
}
