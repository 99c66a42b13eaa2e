package container

import "testing"

// BenchmarkLife is what a container in the foreground pays for its record.
func BenchmarkLife(b *testing.B) {
	tab := Open(b.TempDir())
	self := ok(Self())
	for b.Loop() {
		c := ok(tab.Create(State{Status: Creating, Bundle: "/b", Monitor: self}))
		ok(c.Update(func(s *State) error { s.Status, s.PID, s.Process = Running, self.PID, self; return nil }))
		if err := c.End(Exit{}, true); err != nil {
			b.Fatal(err)
		}
	}
}
