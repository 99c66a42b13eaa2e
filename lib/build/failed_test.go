package build

import "testing"

func TestRunResultSaysHowACommandEnded(t *testing.T) {
	for want, r := range map[string]RunResult{
		"exit status 3":                           {Status: 3},
		"exit status 137 (signal 9)":              {Status: 137, Signal: 9},
		"exit status 143 (signal 15)":             {Status: 143}, // of a child, passed on by the shell
		"exit status 255":                         {Status: 255},
		"exit status 137 (killed: out of memory)": {Status: 137, Signal: 9, OOM: true},
		"exit status 137 (killed: out of memory, after using 64.0 MiB)": {Status: 137, OOM: true, PeakMemory: 64 << 20},
		"exit status 137 (signal 9, after using 1.5 MiB)":               {Status: 137, PeakMemory: 3 << 19},
		"exit status 139 (signal 11)":                                   {Status: 139, Signal: 11, PeakMemory: 1 << 20},
		"exit status 1":                                                 {Status: 1, PeakMemory: 1 << 20},
		`exit status 127: "/x": command not found`:                      {Status: 127, Fault: `"/x": command not found`},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
}
