//go:build unix && !linux

package hostile

// watched calls f; what it makes for a moment is not seen here.
func watched(_ string, f func() error) ([]string, error) { return nil, f() }
