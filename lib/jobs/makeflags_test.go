package jobs

import "testing"

func TestFindServer(t *testing.T) {
	for _, c := range []struct {
		flags string
		want  server
		found bool
	}{
		{"", server{}, false},
		{"k", server{}, false},
		{" -j4", server{}, false},
		{" -j4 --jobserver-auth=3,4", server{read: 3, write: 4}, true},
		{"kj -j4 --jobserver-auth=12,13 --no-print-directory", server{read: 12, write: 13}, true},
		{" --jobserver-fds=5,6 -j", server{read: 5, write: 6}, true},
		{" -j4 --jobserver-auth=fifo:/tmp/GMfifo123", server{-1, -1, "/tmp/GMfifo123"}, true},
		{` -j4 --jobserver-auth=fifo:/tmp/with\ blank/f -- A=1`, server{-1, -1, "/tmp/with blank/f"}, true},
		// The last one counts.
		{" --jobserver-auth=3,4 --jobserver-auth=5,6", server{read: 5, write: 6}, true},
		{" --jobserver-auth=fifo:/x --jobserver-fds=5,6", server{read: 5, write: 6}, true},
		// Variables of the user come after the flags.
		{" -j4 -- V=--jobserver-auth=3,4", server{}, false},
		{" -j4 --jobserver-auth=3,4 -- --jobserver-auth=5,6", server{read: 3, write: 4}, true},
		{`k -- V=\ --jobserver-auth=3,4`, server{}, false},
		// What make gives to those that are not sub-makes, and junk.
		{" -j4 --jobserver-auth=-2,-2", noServer, true},
		{" --jobserver-auth=", noServer, true},
		{" --jobserver-auth", noServer, true},
		{" --jobserver-auth=3", noServer, true},
		{" --jobserver-auth=3,", noServer, true},
		{" --jobserver-auth=a,b", noServer, true},
		{" --jobserver-auth=3,-1", noServer, true},
		{" --jobserver-auth=99999999999999999999,4", noServer, true},
		{" --jobserver-auth=fifo:", noServer, true},
		{" --jobserver-auth=sem:x", noServer, true},
		{`\`, server{}, false},
	} {
		if got, found := findServer(c.flags); got != c.want || found != c.found {
			t.Errorf("%q: %+v %v, want %+v %v", c.flags, got, found, c.want, c.found)
		}
	}
}
