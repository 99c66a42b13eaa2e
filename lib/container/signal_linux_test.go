package container

import (
	"syscall"
	"testing"
)

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"9": 9, "64": 64, "TERM": 15, "SIGTERM": 15, "sigint": 2, "quit": 3, "SIGRTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "SIGWINCH": 28,
	} {
		if got, err := ParseSignal(in); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65", "-9", "SIG", "SIGNO", "RTMIN-1", "RTMAX+1", "RTMIN3", "RTMIN+", "RTMINX"} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}
