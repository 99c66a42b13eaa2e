package sandbox

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// schedule is how the kernel is to deal with a process: processor, disk, and
// which system it pretends to be. Everything is inherited over execve.
type schedule struct {
	attr        *unix.SchedAttr
	ioPriority  uintptr // 0 for none
	personality uintptr
	persona     bool
}

var schedulerPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR, specs.SchedBatch: unix.SCHED_BATCH,
	specs.SchedISO: 4, specs.SchedIdle: unix.SCHED_IDLE, specs.SchedDeadline: unix.SCHED_DEADLINE,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: unix.SCHED_FLAG_RESET_ON_FORK, specs.SchedFlagReclaim: unix.SCHED_FLAG_RECLAIM,
	specs.SchedFlagDLOverrun: unix.SCHED_FLAG_DL_OVERRUN, specs.SchedFlagKeepPolicy: unix.SCHED_FLAG_KEEP_POLICY,
	specs.SchedFlagKeepParams: unix.SCHED_FLAG_KEEP_PARAMS, specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
	specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
}

var ioClasses = map[specs.IOPriorityClass]uintptr{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

// readSchedule reads and checks what the specification says.
func readSchedule(s *specs.Spec) (out schedule, err error) {
	if sc := s.Process.Scheduler; sc != nil {
		policy, ok := schedulerPolicies[sc.Policy]
		if !ok {
			return out, fmt.Errorf("process.scheduler: policy %q is not known", sc.Policy)
		}
		a := &unix.SchedAttr{
			Size: unix.SizeofSchedAttr, Policy: policy, Nice: sc.Nice, Priority: uint32(sc.Priority),
			Runtime: sc.Runtime, Deadline: sc.Deadline, Period: sc.Period,
		}
		for _, f := range sc.Flags {
			flag, ok := schedulerFlags[f]
			if !ok {
				return out, fmt.Errorf("process.scheduler: flag %q is not known", f)
			}
			a.Flags |= flag
		}
		out.attr = a
	}
	if p := s.Process.IOPriority; p != nil {
		class, ok := ioClasses[p.Class]
		if !ok || p.Priority < 0 || p.Priority > 7 {
			return out, fmt.Errorf("process.ioPriority: class %q with priority %d is none", p.Class, p.Priority)
		}
		out.ioPriority = class<<13 | uintptr(p.Priority)
	}
	if p := s.Linux.Personality; p != nil {
		switch {
		case p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32:
			return out, fmt.Errorf("linux.personality: domain %q is not known", p.Domain)
		case len(p.Flags) > 0:
			return out, errors.New("linux.personality: flags are not defined")
		}
		if out.persona = true; p.Domain == specs.PerLinux32 {
			out.personality = 8
		}
	}
	return out, nil
}

// apply lays it out, while the process may still ask for more than its user may.
func (s schedule) apply(prog *program) {
	if s.attr != nil {
		prog.add("set scheduler", unix.SYS_SCHED_SETATTR, 0, pointer(prog, []unix.SchedAttr{*s.attr}), 0)
	}
	if s.ioPriority != 0 {
		prog.add("set io priority", unix.SYS_IOPRIO_SET, 1, 0, s.ioPriority)
	}
	if s.persona {
		prog.add("set personality", unix.SYS_PERSONALITY, s.personality)
	}
}
