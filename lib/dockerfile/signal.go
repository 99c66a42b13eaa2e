package dockerfile

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// signals are the names STOPSIGNAL knows, without "SIG": those of Linux, the
// same on every host, so that a build elsewhere accepts the same Dockerfiles.
var signals = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(`HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM
		STKFLT CHLD CLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS UNUSED RTMIN RTMAX`) {
		known[name] = true
	}
	return known
})

// CheckSignal refuses what no runtime could send: a number or a name, with or
// without SIG, in any case; real-time signals as RTMIN+N and RTMAX-N.
func CheckSignal(s string) error {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return fmt.Errorf("signal %d: want 1 to 64", n)
		}
		return nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if signals()[name] {
		return nil
	}
	for prefix, most := range map[string]int{"RTMIN+": 15, "RTMAX-": 14} {
		if digits, ok := strings.CutPrefix(name, prefix); ok {
			if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n <= most {
				return nil
			}
		}
	}
	return fmt.Errorf("unknown signal %q", s)
}
